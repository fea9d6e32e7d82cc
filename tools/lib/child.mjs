// A child process whose output is shown only when it is worth reading.
import { spawn } from 'node:child_process';

/**
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, minutes?: number }} [options]
 * @returns {Promise<{ ok: boolean, output: string, status: string, seconds: number }>}
 */
export function child(program, args, { env = process.env, cwd, minutes = 20 } = {}) {
  return new Promise((done) => {
    const start = Date.now();
    let output = '';
    const p = spawn(program, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [p.stdout, p.stderr]) stream.setEncoding('utf8').on('data', (data) => (output += data));
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

/** A script of the repository, in its root. @param {string} root @param {string[]} args the script's path, its arguments @param {Parameters<typeof child>[2]} [options] */
export const node = (root, args, options) => child(process.execPath, args, { cwd: root, ...options });
