/** Texts from outside, made fit for the database and for those who may read them. */

/** jsonb has no NUL character. */
const NUL = String.fromCharCode(0);

/** A text that jsonb and text columns can hold. */
export function toStorable(text: string): string {
  return text.toWellFormed().replaceAll(NUL, '\uFFFD');
}

/** So many characters of a secret in a row are hidden as well: some providers repeat a part of a key. */
const PIECE = 8;

/** A text without what nobody may read: `secrets`, in the forms they are sent in, whole, in part or masked, become `[hidden]`. */
export function hideSecrets(text: string, secrets: string[]): string {
  const spans = secrets.flatMap(formsOf).flatMap((form) => spansOf(text, form));
  spans.sort(([a], [b]) => a - b);
  let shown = '';
  let end = 0;
  for (const [from, to] of spans) {
    if (from > end || end === 0) shown += `${text.slice(end, from)}[hidden]`;
    end = Math.max(end, to);
  }
  return hideMasked(shown + text.slice(end), secrets);
}

/** A secret as it stands in texts, URLs and JSON. */
function formsOf(secret: string): string[] {
  if (secret === '') return [];
  return [...new Set([secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])];
}

function spansOf(text: string, form: string): [number, number][] {
  const spans: [number, number][] = [];
  for (let from = 0; from === 0 || from + PIECE <= form.length; from += 1) {
    const piece = form.slice(from, from + PIECE);
    for (let at = text.indexOf(piece); at !== -1; at = text.indexOf(piece, at + 1)) spans.push([at, at + piece.length]);
  }
  return spans;
}

/** Hides words like `sk-a***wxyz` that show how a secret begins or ends. */
function hideMasked(text: string, secrets: string[]): string {
  const ends = secrets.filter(({ length }) => length >= PIECE).flatMap((one) => [one.slice(0, 4), one.slice(-4)]);
  return text.replace(/[^\s"']{0,100}(?:\*\*|\u2022\u2022|\u2026|\.\.\.)[^\s"']{0,100}/g, (word) =>
    ends.some((end) => word.includes(end)) ? '[hidden]' : word,
  );
}

/** Whether a text is a UUID as Postgres writes it, in either case. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
