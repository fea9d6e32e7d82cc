import { DataError } from '@bytelm/core';
import { BOLMO_VOCABULARY, END_SYMBOL, PAD_SYMBOL, type SubwordVocabulary } from '@bytelm/distill';

/**
 * Finds the longest entry of a subword vocabulary whose bytes end at a position: entries are stored back to front, and a look-up walks back
 * from the position until no entry goes on so. Nodes are found by hashing (node, id), in typed arrays: 100 000 entries take some MB.
 */
export class SuffixTrie {
  /** Longest entry, in ids: so far back a look-up goes at most. */
  readonly depth: number;
  /** Entries are ids below this. */
  readonly size: number;
  /** Open addressing: key (node · ids + id) + 1, 0 where a slot is free; the node behind it. */
  private keys = new Int32Array(1 << 12);
  private nodes = new Int32Array(1 << 12);
  /** Entry that ends at a node, −1: none. */
  private entries = new Int32Array(1 << 11).fill(-1);
  private count = 1;

  /** @param sequences Of every entry, in the order of entries, its ids; `undefined` where there is no entry. Later ones win over equal earlier ones. */
  constructor(sequences: Iterable<ArrayLike<number> | undefined>) {
    let [entry, depth] = [0, 0];
    for (const ids of sequences) {
      if (ids) {
        let node = 0;
        for (let i = ids.length - 1; i >= 0; i--) node = this.child(node, ids[i]!) ?? this.addChild(node, ids[i]!);
        this.entries[node] = entry;
        depth = Math.max(depth, ids.length);
      }
      entry++;
    }
    this.depth = depth;
    this.size = entry;
  }

  /** Entries of a vocabulary in Bolmo's ids: the document end is id 1, padding id 0, bytes are shifted by 4. */
  static fromVocabulary(vocabulary: SubwordVocabulary): SuffixTrie {
    const { offset, eos, pad } = BOLMO_VOCABULARY;
    const idOf = (symbol: number) => (symbol === END_SYMBOL ? eos : symbol === PAD_SYMBOL ? pad : symbol + offset);
    return new SuffixTrie(Array.from({ length: vocabulary.size }, (_, id) => (vocabulary.has(id) ? Array.from(vocabulary.symbolsOf(id), idOf) : undefined)));
  }

  /**
   * @param back The id at so many places before the position, −1 before the beginning.
   * @throws DataError when no entry ends there, as for an id that no entry holds.
   */
  longest(back: (steps: number) => number): number {
    let found = -1;
    for (let node: number | undefined = 0, steps = 0; ; steps++) {
      const id = back(steps);
      if (id < 0) break;
      node = this.child(node!, id);
      if (node === undefined) break;
      if (this.entries[node]! >= 0) found = this.entries[node]!;
    }
    if (found < 0) throw new DataError(`[SuffixTrie] no entry of the subword vocabulary ends with id ${back(0)}. Hint: ids are bytes + 4, 1 begins and ends documents, 0 pads.`);
    return found;
  }

  /** What a look-up reads, for kernels that do it on the device; see `child` and `slotOf`. */
  get arrays(): { keys: Int32Array; nodes: Int32Array; entries: Int32Array } {
    return { keys: this.keys, nodes: this.nodes, entries: this.entries };
  }

  private child(node: number, id: number): number | undefined {
    const slot = this.slotOf(node, id);
    return this.keys[slot] ? this.nodes[slot] : undefined;
  }

  private addChild(node: number, id: number): number {
    if (2 * this.count >= this.keys.length) this.grow();
    const slot = this.slotOf(node, id);
    this.keys[slot] = keyOf(node, id);
    return (this.nodes[slot] = this.count++);
  }

  /** Where the child is, or would be put. */
  private slotOf(node: number, id: number): number {
    const key = keyOf(node, id);
    const mask = this.keys.length - 1;
    const hash = Math.imul(key, 0x9e3779b1);
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (this.keys[slot] && this.keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  private grow(): void {
    const [keys, nodes] = [this.keys, this.nodes];
    this.keys = new Int32Array(2 * keys.length);
    this.nodes = new Int32Array(2 * keys.length);
    const entries = new Int32Array(keys.length).fill(-1);
    entries.set(this.entries);
    this.entries = entries;
    keys.forEach((key, i) => {
      if (!key) return;
      const slot = this.slotOf(Math.floor((key - 1) / BOLMO_VOCABULARY.numIds), (key - 1) % BOLMO_VOCABULARY.numIds);
      this.keys[slot] = key;
      this.nodes[slot] = nodes[i]!;
    });
  }
}

const keyOf = (node: number, id: number): number => node * BOLMO_VOCABULARY.numIds + id + 1;
