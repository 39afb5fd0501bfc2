/** A project folder small enough to start in a moment, for tests of the stack itself. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A temporary folder with a project and a data folder in it. */
export type SmallProject = {
  projectDir: string;
  dataDir: string;
  /** Writes a file of the project; `path` is relative to it. */
  write: (path: string, content: string) => void;
  /** Renames a new file over one of the project, as editors and git do. */
  replace: (path: string, content: string) => void;
  /** Removes everything. */
  remove: () => void;
};

/** Makes one: a table `notes`, a function `hello` without JWT check and a function `closed` with it. */
export function makeSmallProject(): SmallProject {
  const root = mkdtempSync(join(tmpdir(), 'local-supabase-'));
  const projectDir = join(root, 'project');
  const write = (path: string, content: string): void => {
    mkdirSync(dirname(join(projectDir, path)), { recursive: true });
    writeFileSync(join(projectDir, path), content);
  };
  write('supabase/config.toml', '[functions.hello]\nverify_jwt = false\n[functions.closed]\nverify_jwt = true\n');
  write(
    'supabase/migrations/20260101000000_notes.sql',
    'create table public.notes (id int primary key, body text); grant all on public.notes to service_role;',
  );
  write('supabase/functions/hello/index.ts', answering('one'));
  write('supabase/functions/closed/index.ts', answering('let in'));
  return {
    projectDir,
    dataDir: join(root, 'data'),
    write,
    replace: (path, content) => {
      write(`${path}.new`, content);
      renameSync(join(projectDir, `${path}.new`), join(projectDir, path));
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** The source of a function that answers with a text. */
export function answering(text: string): string {
  return `export default { fetch: () => new Response(${JSON.stringify(text)}) };\n`;
}
