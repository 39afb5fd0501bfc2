/** Form bodies as Stripe's libraries write them. */

/** A parsed form: texts, lists and members. */
export type Form = { [name: string]: string | Form | (string | Form)[] };

/** Reads `a[b]=1&items[0][price]=p` as `{ a: { b: '1' }, items: [{ price: 'p' }] }`. */
export function parseForm(text: string): Form {
  const root: Form = {};
  for (const [name, value] of new URLSearchParams(text)) put(root, pathOf(name), value);
  return withLists(root) as Form;
}

function pathOf(name: string): string[] {
  return name.split(/\]\[|\[|\]/).filter((part, index) => part !== '' || index === 0);
}

function put(target: Form, [name = '', ...rest]: string[], value: string): void {
  if (rest.length === 0) {
    // Own members only: a form may well name `__proto__`.
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
    return;
  }
  const inner = Object.hasOwn(target, name) ? target[name] : undefined;
  const next: Form = inner && typeof inner === 'object' && !Array.isArray(inner) ? inner : {};
  Object.defineProperty(target, name, { value: next, writable: true, enumerable: true, configurable: true });
  put(next, rest, value);
}

/** Members named 0, 1, 2 … are a list. */
function withLists(value: string | Form): string | Form | (string | Form)[] {
  if (typeof value === 'string') return value;
  const names = Object.keys(value);
  const inner = names.map((name) => withLists(value[name] as string | Form));
  if (names.length > 0 && names.every((name, index) => name === String(index))) return inner as (string | Form)[];
  return Object.fromEntries(names.map((name, index) => [name, inner[index]])) as Form;
}
