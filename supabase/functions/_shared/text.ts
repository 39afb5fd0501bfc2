/** Texts from outside, made fit for the database and for those who may read them. */

/** jsonb has no NUL character. */
const NUL = String.fromCharCode(0);

/** A text that jsonb and text columns can hold. */
export function toStorable(text: string): string {
  return text.toWellFormed().replaceAll(NUL, '\uFFFD');
}

/** A text without what nobody may read: each of `secrets` becomes `[hidden]`. */
export function hideSecrets(text: string, secrets: string[]): string {
  return secrets
    .filter((secret) => secret !== '')
    .reduce((clean, secret) => clean.replaceAll(secret, '[hidden]'), text);
}
