/** A server that is not this machine has to prove who it is before it is told anything. */
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, expect, test } from 'vitest';
import { poolOf } from './helpers.ts';

// Made for this test: self-signed, for 127.0.0.1 and for elsewhere.test.
const HERE = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOAIugo60HgdfD4uP
tTaD8FmYBoci9FHqAcWl1GNRy52hRANCAAQ9vyEA3L8R05zQzGCBvCauJsKi8esT
vu0mOQLmUxc7Lk0ZVHUeqnP420dMjJwNhyOZDfAfkUXEb5aRUO3bPO/O
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBhzCCASygAwIBAgIUA303dl//s/VDGQOUpuGZLLv39xgwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEaGVyZTAgFw0yNjExMjgxNzI5MDFaGA8yMTI2MTEwNDE3Mjkw
MVowDzENMAsGA1UEAwwEaGVyZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABD2/
IQDcvxHTnNDMYIG8Jq4mwqLx6xO+7SY5AuZTFzsuTRlUdR6qc/jbR0yMnA2HI5kN
8B+RRcRvlpFQ7ds8786jZDBiMB0GA1UdDgQWBBRcheVJfKS5dSCkX8opdgFhZugn
UDAfBgNVHSMEGDAWgBRcheVJfKS5dSCkX8opdgFhZugnUDAPBgNVHRMBAf8EBTAD
AQH/MA8GA1UdEQQIMAaHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhANZbm9IEjuJ4
PrzZgZ3bJollxSMh2ER7PKUaeFKB/6wQAiEA+Qc+dIdi7mp74GAUTrpDze7G2fkx
Weo/ixxNUv/m1lg=
-----END CERTIFICATE-----`,
};
const ELSEWHERE = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKEgGuakS1gt2b1bK
vzZWjELgWXJYUzMKZy/ZhA95svmhRANCAAQM/tXXu6vIay3ALNJyaNmYZJi93O7+
cx2gVQR+Cjr7keN3A4khCFz8/qnTPcRspN2aK5WJReTfqeH6w1eitsf9
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBmzCCAUCgAwIBAgIUZq5sSLXaFpDb8k6wsrcR5AmwtrswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJZWxzZXdoZXJlMCAXDTI2MTEyODE3MjkwMVoYDzIxMjYxMTA0
MTcyOTAxWjAUMRIwEAYDVQQDDAllbHNld2hlcmUwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQM/tXXu6vIay3ALNJyaNmYZJi93O7+cx2gVQR+Cjr7keN3A4khCFz8
/qnTPcRspN2aK5WJReTfqeH6w1eitsf9o24wbDAdBgNVHQ4EFgQUKhvnQyviasEF
FezMTvNgbJQag+swHwYDVR0jBBgwFoAUKhvnQyviasEFFezMTvNgbJQag+swDwYD
VR0TAQH/BAUwAwEB/zAZBgNVHREEEjAQgg5lbHNld2hlcmUudGVzdDAKBggqhkjO
PQQDAgNJADBGAiEA/W7qLK+sX4q6Wm+vqXNEAebGoNyOODeDxdvPHzi71poCIQCN
WLpmnK3/r9glFwVtG2aUncXugJxK4lycxrFLMKpoBQ==
-----END CERTIFICATE-----`,
};

const servers: net.Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** A server that speaks Postgres' protocol as far as the first message, and counts how often it was sent that. */
async function startServer(identity?: typeof HERE): Promise<{ port: number; told: () => number }> {
  let told = 0;
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.write(identity ? 'S' : 'N');
      const secured = identity ? new tls.TLSSocket(socket, { isServer: true, ...identity }) : socket;
      secured.on('error', () => undefined);
      secured.once('data', () => {
        told += 1;
        socket.destroy();
      });
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as net.AddressInfo).port, told: () => told };
}

test.each([
  ['one whose signer is trusted', HERE, HERE.cert, 1],
  ['one whose signer is not', HERE, undefined, 0],
  ['one of another name', ELSEWHERE, ELSEWHERE.cert, 0],
  ['one without TLS', undefined, HERE.cert, 0],
])('%s', async (_which, identity, ca, expected) => {
  const server = await startServer(identity);
  const pool = poolOf({ port: server.port, tls: { rejectUnauthorized: true, ca } });
  const { error } = await pool.call('require_api_key', { api_key_hash: 'x' }, {});
  await pool.end();
  expect(error).not.toBeNull();
  expect(server.told()).toBe(expected);
});
