/** TCP ports of the local machine. */
import { createServer } from 'node:net';
import { StackError } from './errors.ts';

/** The only address the stack listens on. */
export const LOCALHOST = '127.0.0.1';

/** Says a port that nothing listens on at this moment. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, LOCALHOST, () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/**
 * Gives back `wanted`, or any free port where it is 0.
 * Throws a StackError that names `setting` when another program listens on it.
 */
export async function claimPort(wanted: number, setting: string): Promise<number> {
  if (wanted === 0) return findFreePort();
  const taken = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(wanted, LOCALHOST, () => server.close(() => resolve(undefined)));
  });
  if (!taken) return wanted;
  if (taken.code === 'EADDRINUSE') {
    throw new StackError(`Port ${wanted} is taken by another program; stop it, or set ${setting} to a free port.`);
  }
  throw new StackError(
    `Port ${wanted} (${setting}) can't be listened on (${taken.code}); set ${setting} to another port.`,
  );
}
