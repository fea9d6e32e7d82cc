import { importInNode } from '../backend/environment.js';
import { BytelmError, CheckpointError } from '../errors.js';
import { downloadFile, type HubFile } from './hub-download.js';
import { writeFileAtomic } from './write-atomic.js';

export interface HubOptions {
  /** Branch, tag or commit. Default `main`. */
  revision?: string | undefined;
  /** Where downloads are kept. Default: the cache of Hugging Face's tools. `null`: keep nothing, read over the network. */
  cacheDir?: string | null | undefined;
  /** For repositories that are not public. */
  token?: string | undefined;
  onProgress?: ((progress: { file: string; loaded: number; total: number }) => void) | undefined;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /** Another server with the hub's interface. */
  hubUrl?: string | undefined;
}

type Hub = typeof import('@huggingface/hub');

const COMMIT = /^[0-9a-f]{40}$/;
/** Written last: names the files of a snapshot that are all there. */
const COMPLETE = '.bytelm-complete';

/**
 * Brings the needed files of a repository into the cache (`models--owner--name/snapshots/<commit>/`).
 * A commit that is complete needs no network; a branch or tag whose server cannot be reached falls back to what it last was.
 *
 * @param needed Chooses among the names at the top of the repository; `read` gives the text of a small one.
 * @returns the folder of the snapshot.
 */
export async function fetchRepository(id: string, needed: (files: readonly string[], read: (file: string) => Promise<string>) => Promise<string[]>, options: HubOptions): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const hub = await loadHub();
  const revision = options.revision ?? 'main';
  const storage = join(options.cacheDir ?? hub.getHFHubCachePath(), `models--${id.replace('/', '--')}`);
  const snapshot = (commit: string) => join(storage, 'snapshots', commit);
  const isComplete = (commit: string) => readFile(join(snapshot(commit), COMPLETE)).then(() => true, () => false);
  if (COMMIT.test(revision) && (await isComplete(revision))) return snapshot(revision);
  const reference = join(storage, 'refs', encodeURIComponent(revision));
  const access = accessOf(options);
  let commit: string;
  try {
    commit = (await hub.modelInfo({ name: id, revision, additionalFields: ['sha'], ...access })).sha;
  } catch (e) {
    const last = await readFile(reference, 'utf8').catch(() => '');
    // An answer with a status is an answer; only silence falls back to the cache.
    if (!hasStatus(e) && COMMIT.test(last) && (await isComplete(last))) return snapshot(last);
    throw hubError(id, revision, e);
  }
  if (!COMMIT.test(commit)) throw new CheckpointError(`[hub] ${id}: expected a commit, got ${JSON.stringify(commit)}. Hint: check \`hubUrl\`.`);
  if (!(await isComplete(commit))) {
    try {
      await download(hub, id, commit, snapshot(commit), needed, options);
    } catch (e) {
      throw BytelmError.is(e) ? e : hubError(id, revision, e);
    }
  }
  await ensureFolder(join(storage, 'refs'));
  await writeFileAtomic(reference, commit);
  return snapshot(commit);
}

async function download(hub: Hub, id: string, commit: string, folder: string, needed: Parameters<typeof fetchRepository>[1], options: HubOptions): Promise<void> {
  const { readFile } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const files = new Map<string, HubFile>();
  for await (const f of hub.listFiles({ repo: id, revision: commit, ...accessOf(options) })) if (isPlainFile(f)) files.set(f.path, { path: f.path, size: f.lfs?.size ?? f.size, sha256: f.lfs?.oid });
  const get = async (path: string): Promise<string> => {
    const file = files.get(path);
    if (!file) throw new CheckpointError(`[hub] ${id}: it has no ${path}, which its index names. Hint: the repository is incomplete.`);
    const stream = async (from: number): Promise<AsyncIterable<Uint8Array>> => {
      // Plain HTTP ranges: the chunked protocol of large files cannot continue in the middle.
      const blob = await hub.downloadFile({ repo: id, path, revision: commit, xet: false, ...accessOf(options) });
      if (!blob) throw new CheckpointError(`[hub] ${id}: ${path} is listed but cannot be downloaded. Hint: try again later.`);
      return blob.slice(from, file.size).stream() as unknown as AsyncIterable<Uint8Array>;
    };
    await downloadFile(file, join(folder, path), { stream, onProgress: (loaded, total) => options.onProgress?.({ file: path, loaded, total }) });
    return join(folder, path);
  };
  const wanted = await needed([...files.keys()], async (file) => readFile(await get(file), 'utf8'));
  for (const path of wanted) await get(path);
  await writeFileAtomic(join(folder, COMPLETE), `${wanted.join('\n')}\n`);
}

/** The files at the top of a repository and where to read them, without the hub package (browsers). */
export async function listRepository(id: string, options: HubOptions): Promise<{ files: HubFile[]; urlOf: (file: string) => string; headers: Record<string, string> }> {
  const base = options.hubUrl ?? 'https://huggingface.co';
  const revision = encodeURIComponent(options.revision ?? 'main');
  const headers: Record<string, string> = options.token ? { Authorization: `Bearer ${options.token}` } : {};
  let entries: { type: string; path: string; size: number }[];
  try {
    const response = await (options.fetch ?? fetch)(`${base}/api/models/${id}/tree/${revision}`, { headers });
    if (!response.ok) throw Object.assign(new Error(`status ${response.status}`), { statusCode: response.status });
    entries = (await response.json()) as typeof entries;
  } catch (e) {
    throw hubError(id, options.revision ?? 'main', e);
  }
  return { files: entries.filter(isPlainFile), urlOf: (file) => `${base}/${id}/resolve/${revision}/${file}`, headers };
}

/** Only files at the top, whose names cannot lead anywhere else. */
const isPlainFile = (f: { type: string; path: string }): boolean => f.type === 'file' && /^[^/\\:]+$/.test(f.path) && !/^\.\.?$/.test(f.path);

const accessOf = ({ token, fetch: get, hubUrl }: HubOptions) => ({ ...(token ? { accessToken: token } : {}), ...(get ? { fetch: get } : {}), ...(hubUrl ? { hubUrl } : {}) });

const hasStatus = (e: unknown): e is { statusCode: number } => typeof (e as { statusCode?: unknown })?.statusCode === 'number';

function hubError(id: string, revision: string, cause: unknown): CheckpointError {
  const status = hasStatus(cause) ? cause.statusCode : undefined;
  const hint =
    status === 404 ? 'check the name and the revision.' : status === 401 || status === 403 ? 'the model is private or gated: accept its terms on its page and pass `token`.' : 'check the network, then try again.';
  return new CheckpointError(`[hub] ${id} at ${revision}: ${(cause as Error).message}. Hint: ${hint}`, { cause });
}

async function ensureFolder(path: string): Promise<void> {
  await (await import('node:fs/promises')).mkdir(path, { recursive: true });
}

async function loadHub(): Promise<Hub> {
  try {
    return (await importInNode('@huggingface/hub')) as Hub;
  } catch (cause) {
    throw new CheckpointError('[hub] downloading needs the package @huggingface/hub, which cannot be loaded. Hint: npm install @huggingface/hub, or pass a local folder.', { cause });
  }
}
