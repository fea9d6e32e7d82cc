import { describe, expect, it } from 'vitest';
import { byteCells, chunksAnsi, chunksJson, chunksPage, chunksSummary, lossCurveSvg, summarize, type ChunkRow } from './index.js';

const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
/** A row whose stage s has boundaries at the given positions of that stage. */
function row(bytes: number[], ...boundaries: number[][]): ChunkRow {
  let length = bytes.length;
  const stages = boundaries.map((at) => {
    const b = Array.from({ length }, (_, i) => (at.includes(i) ? 1 : 0));
    length = at.length;
    return { p: b.map((v) => (v ? 0.9 : 0.2)), b };
  });
  return { bytes, stages };
}

describe('byteCells', () => {
  it('places stage 2 at the bytes that stage 1 selected', () => {
    const cells = byteCells(row(bytesOf('ab cd ef'), [0, 2, 5], [0, 2]));
    expect(cells.map((c) => c.depth)).toEqual([2, 0, 1, 0, 0, 2, 0, 0]);
    expect(cells[1]!.stages[1]).toBeUndefined();
    expect(cells[2]!.stages[1]).toEqual({ p: 0.2, boundary: false });
  });

  it('marks blanks, controls, multi-byte characters and bytes that are no UTF-8', () => {
    const cells = byteCells(row([254, ...bytesOf(' \n\té'), 0x07, 0xe4, 0xbd], [0]));
    expect(cells.map((c) => c.glyph)).toEqual(['BOS', '_', '\\n', '\\t', 'é', '·', '×', '×', '×']);
    expect(cells.map((c) => c.continues).indexOf(true)).toBe(5);
  });

  it('refuses stages that do not fit', () => {
    expect(() => byteCells({ bytes: [1, 2, 3], stages: [{ p: [1, 0], b: [1, 0] }] })).toThrow('[chunks] stage 0: expected 3 entries (one a byte), got p 2 and b 2');
    expect(() => byteCells({ bytes: [1, 2], stages: [{ p: [1, 0], b: [1, 0] }, { p: [1, 1], b: [1, 1] }] })).toThrow('stage 1: expected 1 entries (the boundaries of stage 0)');
  });
});

it('counts bytes per chunk of every stage', () => {
  const stages = summarize(row(bytesOf('ab cd ef'), [0, 2, 5], [0, 2]));
  expect(stages[0]).toEqual({ positions: 8, chunks: 3, bytesPerChunk: 8 / 3, longestBytes: 3 });
  expect(stages[1]).toEqual({ positions: 3, chunks: 2, bytesPerChunk: 4, longestBytes: 5 });
  expect(chunksSummary(row(bytesOf('ab cd ef'), [0, 2, 5]))).toEqual(['stage 1: 2.67 bytes per chunk (3 chunks of 8 bytes, longest 3)']);
});

it('exports plain JSON', () => {
  const r = { bytes: Uint8Array.of(97, 98), stages: [{ p: Float32Array.of(1, 0.25), b: Uint8Array.of(1, 0) }] };
  expect(JSON.parse(JSON.stringify(chunksJson(r)))).toEqual({ bytes: [97, 98], stages: [{ p: [1, 0.25], b: [1, 0] }] });
});

describe('chunksAnsi', () => {
  it('puts a mark between chunks and a stronger one where stage 2 cuts', () => {
    expect(chunksAnsi(row(bytesOf('ab cd ef'), [0, 2, 5], [0, 2]))).toBe('ab│ cd║ ef');
  });

  it('colours only when asked', () => {
    const r = row(bytesOf('ab cd'), [0, 2]);
    expect(chunksAnsi(r)).not.toContain('\u001b');
    expect(chunksAnsi(r, { color: true })).toContain('\u001b[34m│\u001b[0m');
  });

  it('never lets a text drive the terminal, and shows cut characters by their bytes', () => {
    expect(chunksAnsi(row([0x1b, 0x5b, 0x32, 0x4a], [0]))).toBe('\\x1B[2J');
    expect(chunksAnsi(row(bytesOf('aé'), [0, 2]))).toBe('a\\xC3│\\xA9');
    expect(chunksAnsi(row(bytesOf('aé'), [0, 1]))).toBe('a│é');
  });

  it('keeps line breaks and names special bytes', () => {
    expect(chunksAnsi(row([254, ...bytesOf('a\nb')], [0, 3]))).toBe('<BOS>a\\n\n│b');
  });
});

describe('chunksPage', () => {
  const page = chunksPage({
    title: 'A <b> & "c"',
    rows: [row(bytesOf('</script>é'), [0, 3], [0])],
    facts: [['model', '<tiny>']],
    texts: [{ title: 'before', text: '<i>' }],
    figures: [{ caption: 'loss', svg: '<svg id="curve"></svg>' }],
  });

  it('has a cell per byte and a stage cell per byte and stage', () => {
    expect(page.match(/class="byte[ "]/g)).toHaveLength(11);
    expect(page.match(/class="stage s1/g)).toHaveLength(11);
    expect(page.match(/class="stage s2 unseen"/g)).toHaveLength(9);
    expect(page.match(/class="stage s1 on"/g)).toHaveLength(2);
  });

  it('draws a number below each byte, and its threshold across', () => {
    const r = { ...row(bytesOf('abc'), [0, 2]), curve: { name: 'entropy', unit: 'nats', values: [NaN, 0.5, 2], threshold: 1 } };
    const drawn = chunksPage({ title: 't', rows: [r] });
    expect(drawn.match(/class="curve( above)?"/g)).toEqual(['class="curve"', 'class="curve"', 'class="curve above"']);
    expect(drawn).toContain('entropy 2.000 nats');
    expect(drawn).toContain('threshold 1.000 nats');
    expect(chunksJson(r).curve).toEqual({ name: 'entropy', unit: 'nats', values: [null, 0.5, 2], threshold: 1 });
    expect(() => byteCells({ ...r, curve: { ...r.curve, values: [1] } })).toThrow('[chunks] entropy: expected 3 values (one a byte), got 1');
  });

  it('escapes what it is given and asks nothing of the network', () => {
    expect(page).toContain('A &lt;b&gt; &amp; &quot;c&quot;');
    expect(page).toContain('&lt;tiny&gt;');
    expect(page).toContain('<pre>&lt;i&gt;</pre>');
    expect(page).toContain('<svg id="curve">');
    expect(page).not.toMatch(/(src|href)="(?!data:,)/);
    expect(page).not.toMatch(/https?:|@import|url\(/);
  });

  it('embeds the rows so that no text can end the script', () => {
    const json = /id="chunks">(.*)<\/script>\n<script>/.exec(page)![1]!;
    expect(json).not.toContain('<');
    expect(JSON.parse(json)[0].stages[1]).toEqual({ p: [0.9, 0.2], b: [1, 0] });
  });

  it('says every byte to a screen reader and lets the keyboard reach the list', () => {
    expect(page).toContain('aria-label="byte 3: c, hex 63; ');
    expect(page).toContain('stage 1: chunk starts, p 0.900; stage 2: no boundary, p 0.200');
    expect(page.match(/tabindex="0"/g)).toHaveLength(1);
  });

  it('draws an empty list of rows', () => {
    expect(chunksPage({ title: 't', rows: [] })).toContain('<h1>t</h1>');
  });
});

describe('lossCurveSvg', () => {
  const log = [
    { type: 'start', step: 0 },
    ...Array.from({ length: 1000 }, (_, i) => ({ type: 'step', step: i + 1, loss: 9, crossEntropy: Math.LN2 * (2 + 6 / (i + 1)) })),
    { type: 'evaluation', step: 500, bitsPerByte: 2.25 },
    { type: 'evaluation', step: 1000, bitsPerByte: 2.125 },
  ];

  it('draws training and held-out loss as one SVG that loads nothing', async () => {
    const svg = await lossCurveSvg(log, { title: 'a run' });
    expect(svg).toMatch(/^<svg/);
    for (const text of ['a run', 'bits per byte', 'optimizer step', 'training text', 'held-out text']) expect(svg).toContain(text);
    expect(svg.match(/<(image|script|link|use)/g)).toBeNull();
    // Held-out dots say what they are to a screen reader.
    expect(svg).toContain('bits per byte: 2.125');
  });

  it('refuses a log without losses', async () => {
    await expect(Promise.resolve().then(() => lossCurveSvg([{ type: 'start' }]))).rejects.toThrow("no line of type 'step' or 'evaluation'");
  });
});
