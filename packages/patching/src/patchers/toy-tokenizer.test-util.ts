/** A byte-level BPE tokenizer with a handful of merges, as a parsed tokenizer.json. */
export function toyTokenizer(): object {
  const alphabet: string[] = [];
  for (let byte = 0, next = 0x100; byte < 256; byte++) {
    const itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet.push(String.fromCodePoint(itself ? byte : next++));
  }
  const merges = ['t h', 'th e', 'Ġ the', 'c a', 'ca t', 'Ġ cat', 'Ġ Ġ'];
  const vocab = Object.fromEntries([...alphabet, ...merges.map((m) => m.replace(' ', ''))].map((token, id) => [token, id]));
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab, merges },
  };
}
