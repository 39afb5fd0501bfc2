/**
 * A stand-in for Supabase Auth, for development alone. It has the endpoints, shapes, tokens and rows that `supabase-js`
 * needs for accounts with email and password and for anonymous ones, so that the local stack runs without Docker.
 * It is not Supabase Auth: no mail is sent, addresses are confirmed at once, there are no rate limits, no captcha, no
 * OAuth, OTP, MFA or SSO. Deployed projects and `supabase start` use the real one.
 */
import { Hono } from 'hono';
import type pg from 'pg';
import type { StackKeys } from '../keys.ts';
import * as account from './account.ts';
import * as admin from './admin.ts';
import { AuthError, errorResponse, notImplemented } from './errors.ts';
import { createTokens } from './tokens.ts';

/** What the stand-in runs on. */
export interface AuthAppOptions {
  /** Connections as `supabase_auth_admin`. */
  pool: pg.Pool;
  /** `<API_URL>/auth/v1`, the `iss` of every token. */
  issuer: string;
  keys: StackKeys;
}

/** Endpoints of Supabase Auth that the stand-in lacks, and what they are for. */
const ABSENT_ENDPOINTS: [path: string, feature: string][] = [
  ['/otp', 'Sign-in by one-time code'],
  ['/magiclink', 'Sign-in by mailed link'],
  ['/verify', 'Verification of mailed links and codes'],
  ['/resend', 'Mail'],
  ['/recover', 'Password recovery by mail'],
  ['/invite', 'Invitation by mail'],
  ['/reauthenticate', 'Reauthentication by mail'],
  ['/authorize', 'OAuth sign-in'],
  ['/callback', 'OAuth sign-in'],
  ['/oauth/*', 'The OAuth server'],
  ['/sso/*', 'Single sign-on'],
  ['/sso', 'Single sign-on'],
  ['/factors/*', 'Multi-factor authentication'],
  ['/factors', 'Multi-factor authentication'],
  ['/passkeys/*', 'Passkeys'],
  ['/user/identities/*', 'Linking of identities'],
  ['/admin/generate_link', 'Mailed links'],
];

/** The stand-in as a fetch handler. Paths come without the `/auth/v1` that the gateway takes off. */
export function createAuthApp(options: AuthAppOptions): { fetch(request: Request): Response | Promise<Response> } {
  const context: account.AuthContext = { pool: options.pool, tokens: createTokens(options.keys, options.issuer) };
  const app = new Hono();

  app.get('/.well-known/jwks.json', (c) => c.json(options.keys.jwks));
  app.get('/health', (c) =>
    c.json({
      name: 'local-supabase sign-in stand-in',
      version: 'development',
      description: 'Stands in for Supabase Auth on a development machine. It is not Supabase Auth; do not deploy it.',
    }),
  );
  app.get('/settings', (c) => c.json(SETTINGS));
  app.post('/signup', (c) => account.signUp(context, c.req.raw));
  app.post('/token', (c) => account.token(context, c.req.raw));
  app.post('/logout', (c) => account.signOut(context, c.req.raw));
  app.get('/user', (c) => account.getUser(context, c.req.raw));
  app.put('/user', (c) => account.updateUser(context, c.req.raw));

  app.use('/admin/*', async (c, next) => {
    await admin.requireAdmin(context, c.req.raw);
    await next();
  });
  app.get('/admin/users', (c) => admin.list(context, c.req.raw));
  app.post('/admin/users', (c) => admin.create(context, c.req.raw));
  app.get('/admin/users/:id', (c) => admin.get(context, c.req.param('id')));
  app.put('/admin/users/:id', (c) => admin.update(context, c.req.param('id'), c.req.raw));
  app.delete('/admin/users/:id', (c) => admin.remove(context, c.req.param('id'), c.req.raw));

  for (const [path, feature] of ABSENT_ENDPOINTS) {
    app.all(path, () => {
      throw notImplemented(feature);
    });
  }
  app.notFound((c) => errorResponse(new AuthError(404, 'not_found', `No such endpoint: ${c.req.path}`), c.req.raw));
  app.onError((error, c) => errorResponse(error, c.req.raw));
  return { fetch: (request) => app.fetch(request) };
}

const SETTINGS = {
  external: { email: true, phone: false, anonymous_users: true },
  disable_signup: false,
  mailer_autoconfirm: true,
  phone_autoconfirm: false,
  sms_provider: '',
  saml_enabled: false,
};
