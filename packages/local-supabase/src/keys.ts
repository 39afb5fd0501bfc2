/** The keys of one local project: made once at random, kept in its data folder, readable by its owner alone. */
import { createHmac, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

const publicKeySchema = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  alg: z.literal('ES256'),
  use: z.literal('sig'),
  kid: z.string(),
  x: z.string(),
  y: z.string(),
});

const keysSchema = z.object({
  /** HMAC secret of the two legacy API keys (HS256). */
  jwtSecret: z.string().min(32),
  /** Private key that signs users' access tokens (ES256). Never leaves the stack's own processes. */
  signingKey: publicKeySchema.extend({ d: z.string() }),
  /** What `/auth/v1/.well-known/jwks.json` shows: the public half of `signingKey`. */
  jwks: z.object({ keys: z.array(publicKeySchema) }),
  /** Legacy API key: a JWT with role `anon`. */
  anonKey: z.string(),
  /** Legacy API key: a JWT with role `service_role`. */
  serviceRoleKey: z.string(),
  /** `sb_publishable_…`, which the gateway maps to `anonKey`. */
  publishableKey: z.string().startsWith('sb_publishable_'),
  /** `sb_secret_…`, which the gateway maps to `serviceRoleKey`. */
  secretKey: z.string().startsWith('sb_secret_'),
});

/** Every key of one local project. */
export type StackKeys = z.infer<typeof keysSchema>;

const TEN_YEARS_IN_SECONDS = 10 * 365 * 24 * 3600;

/** Makes a new random set of keys. */
export function createKeys(): StackKeys {
  const jwtSecret = randomBytes(32).toString('base64url');
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '', d = '' } = pair.privateKey.export({ format: 'jwk' });
  const publicKey = { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', kid: randomUUID(), x, y } as const;
  return {
    jwtSecret,
    signingKey: { ...publicKey, d },
    jwks: { keys: [publicKey] },
    anonKey: legacyKey('anon', jwtSecret),
    serviceRoleKey: legacyKey('service_role', jwtSecret),
    publishableKey: `sb_publishable_${randomBytes(24).toString('base64url')}`,
    secretKey: `sb_secret_${randomBytes(24).toString('base64url')}`,
  };
}

/**
 * Reads the keys in `file`, and makes the file (mode 600) where there is none. Throws a sentence when the file is there
 * and is not a set of keys.
 */
export function loadKeys(file: string): StackKeys {
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(createKeys(), null, 2)}\n`, { mode: 0o600 });
  }
  try {
    return keysSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    throw new Error(`${file} is not a readable set of keys; delete it and new keys are made at the next start.`);
  }
}

/** The key set PostgREST verifies with: users' public key and the legacy secret. */
export function verificationKeys(keys: StackKeys): { keys: object[] } {
  const secret = { kty: 'oct', alg: 'HS256', use: 'sig', k: Buffer.from(keys.jwtSecret).toString('base64url') };
  return { keys: [...keys.jwks.keys, secret] };
}

function legacyKey(role: 'anon' | 'service_role', jwtSecret: string): string {
  const issuedAt = Math.floor(Date.now() / 1000);
  const payload = { iss: 'local-supabase', role, iat: issuedAt, exp: issuedAt + TEN_YEARS_IN_SECONDS };
  const signed = `${encodePart({ alg: 'HS256', typ: 'JWT' })}.${encodePart(payload)}`;
  return `${signed}.${createHmac('sha256', jwtSecret).update(signed).digest('base64url')}`;
}

function encodePart(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
