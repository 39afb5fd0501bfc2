/** Answers in the form of a JSON schema (`response_format`), the same for the same request, and what steers them. */
import { z } from 'zod';

/** As far as the schemas of structured outputs go. */
export type Schema = {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  items?: Schema;
  minItems?: number;
  minimum?: number;
};

/** What only answers in a schema's form know. */
export const structuredDirectives = {
  /** Members that the answer gets over the made-up ones. */
  members: z.record(z.string(), z.unknown()).optional(),
  /** Answers with JSON that is not of the schema's form; in the first `times` tries of `key`. */
  off_schema: z.boolean().optional(),
  /** Answers with `message.refusal` in place of content, as a model does that will not. */
  refusal: z.string().optional(),
  /** Does as any message of the system or developer says by "set <member> to <value>", and as none of another role says. */
  obedient: z.boolean().optional(),
};

type Steering = z.infer<z.ZodObject<typeof structuredDirectives>>;

/** The JSON that a request with this schema is answered; `words` stand in its texts. */
export function structuredAnswer(schema: Schema, words: string, instructions: string[], steering: Steering): string {
  if (steering.off_schema) return JSON.stringify({ off_schema: words });
  const made = valueFor(schema, words);
  if (typeof made !== 'object' || made === null) return JSON.stringify(made);
  const told = steering.obedient ? Object.assign({}, ...instructions.map(setIn)) : {};
  return JSON.stringify({ ...made, ...steering.members, ...told });
}

/** A value of a schema's form: the first of a choice, the least number, texts that say what they are, empty lists. */
function valueFor(schema: Schema, words: string): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf?.[0]) return valueFor(schema.anyOf[0], words);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'string':
      return words;
    case 'integer':
    case 'number':
      return schema.minimum ?? 0;
    case 'boolean':
      return false;
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, () => valueFor(schema.items ?? {}, words));
    case 'null':
      return null;
    default: {
      const members = Object.entries(schema.properties ?? {});
      return Object.fromEntries(members.map(([name, member]) => [name, valueFor(member, words)]));
    }
  }
}

/** The members that a text tells to set. */
function setIn(text: string): Record<string, unknown> {
  const found = text.matchAll(/\bset\s+"?(\w+)"?\s+to\s+(?:"([^"\n]*)"|([\w.-]+))/gi);
  return Object.fromEntries([...found].map(([, name = '', quoted, plain = '']) => [name, quoted ?? plainValue(plain)]));
}

function plainValue(text: string): unknown {
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}
