/** The committed tables of access, read from their Markdown. */
import { readFileSync } from 'node:fs';

/** The lines of the table whose first column has this heading, as records by heading. */
export function linesOf(file: string, firstColumn: string): Record<string, string>[] {
  const lines = readFileSync(new URL(file, import.meta.url), 'utf8')
    .split('\n')
    .map(cellsOf);
  const at = lines.findIndex((cells) => cells?.[0] === firstColumn);
  const heading = lines[at];
  if (!heading) throw new Error(`${file} has no table that begins with the column "${firstColumn}".`);
  const records: Record<string, string>[] = [];
  for (const cells of lines.slice(at + 2)) {
    if (!cells) break;
    if (cells.length !== heading.length)
      throw new Error(`${file}: ${cells[0]} has ${cells.length} cells, not ${heading.length}.`);
    records.push(Object.fromEntries(heading.map((name, index) => [name, cells[index] ?? ''])));
  }
  return records;
}

function cellsOf(line: string): string[] | undefined {
  if (!line.startsWith('|')) return undefined;
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('`', ''));
}
