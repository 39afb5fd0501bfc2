/**
 * Reads the conversations out of a ChatGPT export, each as `import_conversation` takes it: of `conversations.json`, of one
 * of the numbered files that newer exports have, or of the whole ZIP. For a frontend to copy: it runs in browsers, Node
 * and Deno, and holds one conversation in memory at a time.
 */

/** A conversation as `import_conversation` takes it. */
export interface ConversationData {
  id?: string;
  title: string;
  /** The export's model; ours have other names, so `model` is not set. */
  metadata?: { model: string };
  created_at?: string;
  is_archived: boolean;
  current_message_id: string | null;
  messages: MessageData[];
}

/** One of its messages; what it follows stands before it. */
export interface MessageData {
  id: string;
  parent_message_id: string | null;
  role: 'user' | 'assistant' | 'system' | 'tool';
  parts: Part[];
  model_used?: string;
  created_at?: string;
}

type Part = { type: string; [name: string]: unknown };

/** What was found: a conversation, or why there is none. `name` is its title, or its file and place. */
export type Found = { name: string; conversation: ConversationData } | { name: string; error: string };

/** Characters of the largest conversation that is read. */
const MOST_CHARACTERS = 33_554_432;
const ROLES = ['user', 'assistant', 'system', 'tool'];

/** Reads an export, one conversation after the other. What cannot be read is named, and the rest goes on. */
export async function* readChatGptExport(file: Blob): AsyncGenerator<Found> {
  const isZip = (await bytesOf(file, 0, 4)).getUint32(0, true) === 0x04034b50;
  if (!isZip) {
    yield* conversationsIn('conversations.json', file.stream());
    return;
  }
  for (const { name, open } of await filesIn(file)) {
    if (!name.endsWith('.json')) continue;
    yield* conversationsIn(name, await open());
  }
}

async function* conversationsIn(file: string, bytes: ReadableStream<Uint8Array>): AsyncGenerator<Found> {
  const isOfConversations = /(^|\/)conversation[^/]*$/i.test(file);
  let place = 0;
  try {
    for await (const source of elementsOf(bytes)) {
      place += 1;
      const name = `${file} #${place}`;
      if (source === null) yield { name, error: `It has more than ${MOST_CHARACTERS} characters.` };
      else if (isOfConversations || source.includes('"mapping"')) yield readOne(name, source);
    }
  } catch (error) {
    if (isOfConversations) yield { name: `${file} #${place + 1}`, error: messageOf(error) };
  }
}

function readOne(place: string, source: string): Found {
  let name = place;
  try {
    // Postgres stores neither U+0000 nor half a surrogate pair.
    const clean = (_: string, value: unknown) =>
      typeof value === 'string' ? value.replace(/\0|\p{Surrogate}/gu, '') : value;
    const raw: unknown = JSON.parse(source, clean);
    if (isObject(raw) && typeof raw.title === 'string' && raw.title !== '') name = raw.title;
    return { name, conversation: conversationOf(raw) };
  } catch (error) {
    return { name, error: messageOf(error) };
  }
}

/** The elements of a JSON list, or the one value that there is, as text; null for one that is too long. */
async function* elementsOf(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string | null> {
  const text = bytes.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>);
  let [depth, isText, isEscaped, isTooLong] = [0, false, false, false];
  let outer = -1; // the depth of the list's elements, once the first sign has said it
  let element = '';
  const reader = text.getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      const chunk = value ?? '';
      let from = 0;
      for (let at = 0; at < chunk.length; at++) {
        const sign = chunk[at];
        if (isText) {
          if (isEscaped) isEscaped = false;
          else if (sign === '\\') isEscaped = true;
          else if (sign === '"') isText = false;
          continue;
        }
        if (sign === '"') isText = true;
        else if (sign === '[' || sign === '{') {
          if (outer < 0) {
            outer = sign === '[' ? 1 : 0;
            from = sign === '[' ? at + 1 : at;
          }
          depth += 1;
        } else if (sign === ']' || sign === '}') {
          depth -= 1;
        }
        const isEnd = outer === 1 ? depth === 0 || (sign === ',' && depth === 1) : depth === 0 && sign === '}';
        if (outer < 0 || !isEnd) continue;
        element += chunk.slice(from, outer === 1 ? at : at + 1);
        from = at + 1;
        if (isTooLong || element.trim() !== '') yield isTooLong ? null : element;
        [element, isTooLong] = ['', false];
        if (depth === 0) return;
      }
      if (isTooLong) continue;
      element += chunk.slice(from);
      isTooLong = element.length > MOST_CHARACTERS;
      if (isTooLong) element = '';
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  throw new Error(outer < 0 ? 'This is no JSON of conversations.' : 'The file ends in the middle of a conversation.');
}

/** A conversation of ChatGPT in our form. Throws where it is none. */
export function conversationOf(raw: unknown): ConversationData {
  if (!isObject(raw) || !isObject(raw.mapping)) throw new Error('It has no messages (mapping).');
  const nodes = new Map(Object.entries(raw.mapping).filter((entry): entry is [string, Fields] => isObject(entry[1])));
  const model = textIn(raw, 'default_model_slug');
  const start = timeOf(raw.create_time);
  const messages: MessageData[] = [];
  // What stands for a node: its message or, where that is hidden or empty, the message before it.
  const standsFor = new Map<string, MessageData | null>();
  const { roots, children, parentOf } = rootsAndChildren(nodes);
  const next = [...roots].reverse();
  for (let id = next.pop(); id !== undefined; id = next.pop()) {
    if (standsFor.has(id)) throw new Error('Its messages go round in a circle.');
    const before = standsFor.get(parentOf.get(id) ?? '') ?? null;
    const message = messageOfNode(id, nodes.get(id)?.message, before, model, start);
    if (message) messages.push(message);
    standsFor.set(id, message ?? before);
    next.push(...[...(children.get(id) ?? [])].reverse());
  }
  if (standsFor.size < nodes.size) throw new Error('Its messages go round in a circle.');
  const current = standsFor.get(textIn(raw, 'current_node') ?? '') ?? newestLeaf(messages);
  return {
    id: textIn(raw, 'conversation_id') ?? textIn(raw, 'id'),
    title: (textIn(raw, 'title') ?? '').slice(0, 200),
    metadata: model === undefined ? undefined : { model },
    created_at: start,
    is_archived: raw.is_archived === true,
    current_message_id: current?.id ?? null,
    messages,
  };
}

/** Who follows whom: by the parents that nodes name or, where one names none, by the node that lists it; in its order. */
function rootsAndChildren(nodes: Map<string, Fields>) {
  const listedBy = new Map<string, string>();
  for (const [id, node] of nodes) for (const child of listIn(node, 'children')) listedBy.set(String(child), id);
  const parentOf = new Map<string, string>();
  const children = new Map<string, string[]>();
  const roots: string[] = [];
  // Those that are listed first, as they are listed.
  for (const id of new Set([...[...listedBy.keys()].filter((child) => nodes.has(child)), ...nodes.keys()])) {
    const parent = textIn(nodes.get(id) ?? {}, 'parent') ?? listedBy.get(id);
    if (parent === undefined || !nodes.has(parent)) {
      roots.push(id);
      continue;
    }
    parentOf.set(id, parent);
    const others = children.get(parent);
    if (others) others.push(id);
    else children.set(parent, [id]);
  }
  return { parentOf, children, roots };
}

function messageOfNode(
  id: string,
  message: unknown,
  before: MessageData | null,
  model: string | undefined,
  start: string | undefined,
): MessageData | undefined {
  if (!isObject(message)) return undefined;
  const metadata = isObject(message.metadata) ? message.metadata : {};
  const role = isObject(message.author) ? String(message.author.role) : '';
  if (metadata.is_visually_hidden_from_conversation === true || !ROLES.includes(role)) return undefined;
  const parts = [...partsOf(message), ...filesOf(metadata)];
  if (parts.length === 0) return undefined;
  return {
    id,
    parent_message_id: before?.id ?? null,
    role: role as MessageData['role'],
    parts,
    model_used: textIn(metadata, 'model_slug') ?? (role === 'assistant' ? model : undefined),
    created_at: timeOf(message.create_time) ?? before?.created_at ?? start,
  };
}

function partsOf(message: Fields): Part[] {
  const content = isObject(message.content) ? message.content : {};
  const text = textIn(content, 'text') ?? textIn(content, 'result') ?? textIn(content, 'content') ?? '';
  switch (content.content_type) {
    case 'code':
      if (typeof message.recipient === 'string' && message.recipient !== 'all') {
        return [{ type: 'tool_call', id: textIn(message, 'id'), name: message.recipient, arguments: text }];
      }
      return textParts(text && `\`\`\`${textIn(content, 'language') ?? ''}\n${text}\n\`\`\``);
    case 'execution_output':
    case 'tether_browsing_display':
      return text === '' ? [] : [{ type: 'tool_result', content: text }];
    case 'thoughts': {
      const thoughts = listIn(content, 'thoughts').filter(isObject);
      const said = thoughts.flatMap((thought) => [textIn(thought, 'summary'), textIn(thought, 'content')]);
      const reasoning = said.filter(Boolean).join('\n\n');
      return reasoning === '' ? [] : [{ type: 'reasoning', text: reasoning }];
    }
    case 'reasoning_recap':
      return text === '' ? [] : [{ type: 'reasoning', text }];
    case 'tether_quote':
      return [
        { type: 'citation', url: textIn(content, 'url') ?? '', title: textIn(content, 'title') ?? '', quote: text },
      ];
    case 'user_editable_context':
    case 'model_editable_context':
      return []; // settings of the account, in every conversation
    default:
      return Array.isArray(content.parts) ? content.parts.flatMap(partOf) : textParts(text);
  }
}

function partOf(part: unknown): Part[] {
  if (typeof part === 'string') return textParts(part);
  if (!isObject(part)) return [];
  if (typeof part.text === 'string') return textParts(part.text); // what was said aloud
  const kind = textIn(part, 'content_type') ?? '';
  return [{ type: kind === 'image_asset_pointer' ? 'image' : 'file', name: textIn(part, 'asset_pointer') ?? kind }];
}

function filesOf(metadata: Fields): Part[] {
  return listIn(metadata, 'attachments')
    .filter(isObject)
    .map((file) => ({ type: 'file', name: textIn(file, 'name') ?? '', media_type: textIn(file, 'mime_type') }));
}

const textParts = (text: string): Part[] => (text === '' ? [] : [{ type: 'text', text }]);

/** Where an export does not say which branch was looked at: the end of the newest. */
function newestLeaf(messages: MessageData[]): MessageData | undefined {
  const followed = new Set(messages.map((message) => message.parent_message_id));
  const leaves = messages.filter(({ id }) => !followed.has(id));
  return leaves.reduce<MessageData | undefined>(
    (newest, leaf) => (newest && (newest.created_at ?? '') > (leaf.created_at ?? '') ? newest : leaf),
    undefined,
  );
}

function timeOf(seconds: unknown): string | undefined {
  const isTime = typeof seconds === 'number' && seconds > 0 && seconds < 253_402_300_800;
  return isTime ? new Date(seconds * 1000).toISOString() : undefined;
}

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textIn = (from: Fields, name: string): string | undefined =>
  typeof from[name] === 'string' && from[name] !== '' ? from[name] : undefined;
const listIn = (from: Fields, name: string): unknown[] => (Array.isArray(from[name]) ? from[name] : []);
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

// ZIP -----------------------------------------------------------------------------------------------------------------

type ZippedFile = { name: string; open(): Promise<ReadableStream<Uint8Array>> };

/** The files of a ZIP, by its directory, which stands at its end. */
async function filesIn(zip: Blob): Promise<ZippedFile[]> {
  const tail = await bytesOf(zip, Math.max(0, zip.size - 65_557), zip.size);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error('This ZIP is cut off.');
  const [size, start] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (start === 0xffffffff) throw new Error('This ZIP is larger than 4 GiB: unpack it and read its JSON files.');
  const directory = await bytesOf(zip, start, start + size);
  const files: ZippedFile[] = [];
  for (let at = 0; at + 46 <= directory.byteLength && directory.getUint32(at, true) === 0x02014b50; ) {
    const [method, packed] = [directory.getUint16(at + 10, true), directory.getUint32(at + 20, true)];
    const [nameLength, offset] = [directory.getUint16(at + 28, true), directory.getUint32(at + 42, true)];
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameLength));
    files.push({ name, open: () => openZipped(zip, method, offset, packed) });
    at += 46 + nameLength + directory.getUint16(at + 30, true) + directory.getUint16(at + 32, true);
  }
  return files;
}

async function openZipped(zip: Blob, method: number, offset: number, packed: number) {
  const header = await bytesOf(zip, offset, offset + 30);
  const start = offset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  const stream: ReadableStream<Uint8Array> = zip.slice(start, start + packed).stream();
  if (method === 0) return stream;
  return stream.pipeThrough(new DecompressionStream('deflate-raw') as TransformStream<Uint8Array, Uint8Array>);
}

async function bytesOf(blob: Blob, start: number, end: number): Promise<DataView> {
  const bytes = await blob.slice(start, end).arrayBuffer();
  // A file of fewer than four bytes has no signature.
  return new DataView(bytes.byteLength < 4 ? new ArrayBuffer(4) : bytes);
}
