/** Who calls: the role and claims of the bearer token, and the tokens of signed URLs. */
import { importJWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { messageOf } from '../errors.ts';
import type { StackKeys } from '../keys.ts';
import { accessDenied, StorageError } from './errors.ts';

/** The roles that a token may name. */
const ROLES = ['anon', 'authenticated', 'service_role'];

/** As whom a statement runs. */
export type Caller = { role: string; claims: JWTPayload };

/** What a signed upload is: for whom (null: for nobody in particular), and whether it may replace an earlier file. */
export type SignedUpload = { owner: string | null; upsert: boolean };

/** Reads tokens of one project and signs its URLs. */
export interface Callers {
  /** The caller of a request. Throws where it has no token or a bad one. */
  of(request: Request): Promise<Caller>;
  /** A token for one file (`<bucket>/<name>`), good for so many seconds; one with an upload in it is good for that alone. */
  signUrl(file: string, seconds: number, upload?: SignedUpload): Promise<string>;
  /** Epoch second at which a file's token ends. Throws where it is no token to read this file, or has ended. */
  checkUrl(file: string, token: string | undefined): Promise<number>;
  /** What a token lets be uploaded. Throws where it is no token to upload this file, or has ended. */
  checkUpload(file: string, token: string | undefined): Promise<SignedUpload>;
}

/** Users' tokens are ES256; API keys and signed URLs are HS256 with the project's secret. */
export function createCallers(keys: StackKeys): Callers {
  const secret = new TextEncoder().encode(keys.jwtSecret);
  const publicKeys = new Map(keys.jwks.keys.map((key) => [key.kid, importJWK(key, 'ES256')]));

  async function keyFor(header: { alg?: string; kid?: string }) {
    if (header.alg === 'HS256') return secret;
    const key = await publicKeys.get(header.kid ?? '');
    if (key === undefined) throw new Error('unknown key id');
    return key;
  }

  return {
    async of(request) {
      const token = /^bearer (\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1];
      if (token === undefined) {
        throw new StorageError(400, 'Error', "headers must have required property 'authorization'");
      }
      const claims = await payloadOf(token, keyFor, accessDenied);
      const role = claims.role ?? 'anon';
      if (typeof role !== 'string' || !ROLES.includes(role)) throw accessDenied(`There is no role ${String(role)}`);
      return { role, claims };
    },

    signUrl(file, seconds, upload) {
      const now = Math.floor(Date.now() / 1000);
      const token = new SignJWT({ url: file, ...upload })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setIssuedAt(now);
      return token.setExpirationTime(now + seconds).sign(secret);
    },

    async checkUrl(file, token) {
      const { exp, upsert } = await signedPayload(file, token);
      if (exp === undefined || upsert !== undefined) throw wrongSignature();
      return exp;
    },

    async checkUpload(file, token) {
      const { owner, upsert } = await signedPayload(file, token);
      if (typeof upsert !== 'boolean') throw wrongSignature();
      return { owner: typeof owner === 'string' ? owner : null, upsert };
    },
  };

  async function signedPayload(file: string, token: string | undefined): Promise<JWTPayload> {
    if (!token) throw new StorageError(400, 'Error', "querystring must have required property 'token'");
    const payload = await payloadOf(token, () => secret, invalidJwt, ['HS256']);
    if (payload.url !== file) throw wrongSignature();
    return payload;
  }
}

const wrongSignature = () => new StorageError(400, 'InvalidSignature', 'The url do not match the signature');
const invalidJwt = (message: string) => new StorageError(400, 'InvalidJWT', message);

type KeyFor = (header: { alg?: string; kid?: string }) => Parameters<typeof jwtVerify>[1] | Promise<unknown>;

async function payloadOf(
  token: string,
  keyFor: KeyFor,
  refusal: (message: string) => StorageError,
  algorithms = ['ES256', 'HS256'],
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keyFor as never, { algorithms })).payload;
  } catch (error) {
    throw refusal(messageOf(error));
  }
}
