/**
 * Makes the table by which function `ai` counts tokens: a Bloom filter of the texts that are one token in GPT-4o's encoding
 * (o200k_base), which is a tenth of the encoding itself. Run by itself, it writes the table.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decode } from 'gpt-tokenizer/encoding/o200k_base';
import { bitsOf, LONGEST_TOKEN, TABLE_BITS } from '../../supabase/functions/ai/tokenizer.ts';
import { PROJECT_DIR } from '../paths.ts';

/** Where the table is. */
export const TABLE_FILE = join(PROJECT_DIR, 'supabase/functions/ai/token-table.ts');
/** Tokens of o200k_base that are text; after them come the special ones. */
const TOKENS = 199_998;

/** The table's file, as it has to be. */
export function makeTokenTable(): string {
  const bits = new Uint8Array(TABLE_BITS / 8);
  for (let token = 0; token < TOKENS; token += 1) {
    const text = decode([token]);
    // Some tokens are part of a character alone, and are left to the tokenizer's guess.
    if (text === '' || text.length > LONGEST_TOKEN || text.includes('\uFFFD')) continue;
    for (const bit of bitsOf(text)) bits[bit >> 3] = (bits[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return [
    '/** Made by scripts/testing/token-table.ts from o200k_base: a Bloom filter of its tokens, in base64. Not to be edited. */',
    `export const TOKEN_TABLE =\n  '${Buffer.from(bits).toString('base64')}';\n`,
  ].join('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) writeFileSync(TABLE_FILE, makeTokenTable());
