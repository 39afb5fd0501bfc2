/** Exact decimals, as text: prices are never floats. */

/** A JSON number, of no more than a hundred places. */
const NUMBER = /^(-?)(\d{1,100})(?:\.(\d{1,100}))?(?:e([+-]?\d{1,2}))?$/i;

/**
 * The number that `text` is, times ten to the power of `shift`: its digits, without an exponent or zeros that say nothing.
 * Undefined where it is no number.
 */
export function decimal(text: string, shift = 0): string | undefined {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? [];
  if (whole === '') return undefined;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent) + shift;
  const before = digits.slice(0, Math.max(point, 0)).padEnd(point, '0').replace(/^0+/, '') || '0';
  const after = digits
    .slice(Math.max(point, 0))
    .padStart(digits.length - point, '0')
    .replace(/0+$/, '');
  const value = after && point < digits.length ? `${before}.${after}` : before;
  return value === '0' ? value : sign + value;
}

/** Parses JSON with each number as the text it was written in. Throws a SyntaxError as JSON.parse does. */
export function parseExactly(json: string): unknown {
  JSON.parse(json); // or what is no number, such as 01, would become one
  return JSON.parse(
    json.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g, (token) => (token.startsWith('"') ? token : `"${token}"`)),
  );
}
