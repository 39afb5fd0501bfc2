// Runs `scripts/commands/<command>.ts`. Plain JavaScript, because it is what installs the rest where that is missing.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { installIfNeeded } from './install.mjs';

const scriptsDir = dirname(fileURLToPath(import.meta.url));
const command = process.argv[2] ?? '';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Node 20.19 or newer is needed, and this is ${process.versions.node}; install a newer Node.`);
  process.exit(1);
}
const file = join(scriptsDir, 'commands', `${command}.ts`);
if (!/^[a-z]+$/.test(command) || !existsSync(file)) {
  console.error(`There is no command "${command}"; package.json lists them under "scripts".`);
  process.exit(1);
}
const projectDir = join(scriptsDir, '..');
if (['stop', 'status'].includes(command) && !existsSync(join(projectDir, '.basemeter'))) {
  // Nothing was ever started here: no reason to install anything.
  console.error('Basemeter does not run; `npm start` starts it.');
  process.exit(command === 'stop' ? 0 : 1);
}
installIfNeeded(projectDir);

const { register } = await import('tsx/esm/api');
register();
const { run } = await import(pathToFileURL(file).href);
const { runCommand } = await import('./command-line.ts');
await runCommand(run, process.argv.slice(3));
