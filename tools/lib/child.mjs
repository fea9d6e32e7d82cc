// A child process whose output is shown only when it is worth reading.
import { spawn } from 'node:child_process';

/**
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, show?: (line: string) => boolean, minutes?: number }} [options] `show` picks the lines that are passed on at once
 * @returns {Promise<{ ok: boolean, output: string, status: string, seconds: number }>}
 */
export function child(program, args, { env = process.env, cwd, show = () => false, minutes = 20 } = {}) {
  return new Promise((done) => {
    const start = Date.now();
    let output = '';
    let pending = '';
    const p = spawn(program, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const take = (data) => {
      output += data;
      const lines = (pending + data).split('\n');
      pending = lines.pop();
      for (const line of lines) if (show(line)) console.log(line);
    };
    for (const stream of [p.stdout, p.stderr]) stream.setEncoding('utf8').on('data', take);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      p.kill('SIGKILL');
    }, minutes * 60_000);
    const end = (ok, status) => {
      clearTimeout(timer);
      done({ ok, output, status: late ? `no end after ${minutes} minutes` : status, seconds: (Date.now() - start) / 1000 });
    };
    p.on('error', (e) => end(false, e.message));
    p.on('close', (code, signal) => end(code === 0, `exit ${code ?? signal}`));
  });
}
