// Installs what package-lock.json and deno.json name, where node_modules is missing or older than they are.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Brings node_modules in line with package-lock.json. Ends the process with a sentence when npm fails. */
export function installIfNeeded(projectDir) {
  const installed = join(projectDir, 'node_modules/.package-lock.json');
  const stampFile = join(projectDir, 'node_modules/.basemeter-lock');
  const stamp = createHash('sha256')
    .update(readFileSync(join(projectDir, 'package-lock.json')))
    .digest('hex');
  if (existsSync(installed) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  if (!existsSync(installed) || !hasEveryPackage(projectDir, installed)) {
    console.log('Installing packages (npm ci)');
    const npm = spawnSync('npm', ['ci', '--no-fund', '--no-audit'], {
      cwd: projectDir,
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    });
    if (npm.status !== 0) {
      console.error('The packages could not be installed; run `npm ci` to see why, then try again.');
      process.exit(1);
    }
  }
  writeFileSync(stampFile, stamp);
}

/** Whether what npm noted down about its last installation agrees with the lock file, version by version. */
function hasEveryPackage(projectDir, installed) {
  const wanted = JSON.parse(readFileSync(join(projectDir, 'package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(installed, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([name, { version, optional }]) =>
      name === '' || present[name]?.version === version || (optional && !present[name]),
  );
}
