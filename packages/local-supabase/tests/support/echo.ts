/** A program beside the stack: it answers with its own environment. */
import { createServer } from 'node:http';

createServer((_, response) => response.end(JSON.stringify(process.env))).listen(Number(process.env.PORT), '127.0.0.1');
process.stdin.resume().once('close', () => process.exit(0));
