/** What a cheap model writes about a conversation once an answer is out: its title, and a summary of its beginning. */
import type { Caller } from '../_shared/auth.ts';
import type { CallDetails } from '../_shared/call-facts.ts';
import { database, run } from '../_shared/database.ts';
import { ApiError } from '../_shared/errors.ts';
import { toStorable } from '../_shared/text.ts';
import { objectsIn, readChoice } from './answer.ts';
import { admit } from './call.ts';
import { chat } from './chat.ts';
import { type Part, wordsOf } from './context.ts';
import { answerAdmitted, type Endpoint, worstCaseOf } from './endpoint.ts';
import type { ChatRequest } from './request.ts';

/** A model for such work, and its window. */
interface Helper {
  model: string;
  context_window: number | null;
}

/** Who may write what, as conversation_context says it. */
export interface Helpers {
  workspace_id: string;
  title_model: Helper | null;
  summary_model: Helper | null;
  /** The share of a model's window that a branch fills before it is summed up. */
  summary_share: number;
  summary: string | null;
  context_window: number | null;
  /** When the messages were read. */
  read_at: string;
}

/** A message for a helper. */
interface Said {
  id: string;
  role: string;
  parts: Part[];
  tokens: number;
}

/** For whom, and in which conversation; `said` are the messages since the last summary, the new answer last. */
export interface Occasion {
  caller: Caller;
  details: CallDetails;
  conversationId: string;
  said: Said[];
}

const TITLE =
  'Write a title of at most six words for the conversation below, in its language. Answer with the title alone.';
const SUMMARY =
  'Summarise the conversation below for the assistant that continues it, in its language. Keep decisions, facts, names, ' +
  'numbers, open questions and what the user asked to be remembered. Answer with the summary alone.';
const TITLE_TOKENS = 60;
const SUMMARY_TOKENS = 1_000;
/** Of each message so much is enough for a title, characters. */
const TITLE_READS = 2_000;
const LONGEST_TITLE = 100;

/** A chat whose output limit goes out in the field that its model's provider reads. */
export const limitedChat: Endpoint<ChatRequest> = {
  ...chat,
  upstreamBody(request, candidate, call) {
    const { max_completion_tokens: most, ...rest } = request;
    const body = most == null ? rest : { ...rest, [candidate.output_limit_field]: most };
    return chat.upstreamBody(body as ChatRequest, candidate, call);
  },
};

/** Writes what is due after an answer. Throws nothing: the answer is out, and the oldest messages can be left out as well. */
export async function writeNotes(helpers: Helpers, occasion: Occasion): Promise<void> {
  const { title_model, summary_model } = helpers;
  if (title_model) {
    const transcript = transcriptOf(occasion.said, TITLE_READS);
    await write(occasion, helpers, title_model, 'conversation title', TITLE, transcript, TITLE_TOKENS, (text) => ({
      title: text
        .split('\n')[0]
        ?.replace(/^["'“„«\s]+|["'”“»\s.]+$/g, '')
        .slice(0, LONGEST_TITLE)
        .toWellFormed(),
    }));
  }
  const end = summary_model ? endOfBeginning(helpers, occasion.said) : undefined;
  if (summary_model && end !== undefined) {
    const before = helpers.summary === null ? '' : `What was said before, in short:\n${helpers.summary}\n\n`;
    const room = (summary_model.context_window ?? Number.POSITIVE_INFINITY) / 2 - SUMMARY_TOKENS;
    const transcript = before + transcriptOf(newestWithin(occasion.said.slice(0, end + 1), room));
    const description = 'conversation summary';
    await write(occasion, helpers, summary_model, description, SUMMARY, transcript, SUMMARY_TOKENS, (summary) => ({
      summary,
      message_id: occasion.said[end]?.id,
    }));
  }
}

/**
 * Where the part of a branch ends that is to be summed up: at an answer, behind which half of the share that fills the
 * window is left word by word, and the last question and answer at least. Undefined while it is not due.
 */
export function endOfBeginning(
  { context_window, summary_share }: Pick<Helpers, 'context_window' | 'summary_share'>,
  said: Pick<Said, 'role' | 'tokens'>[],
): number | undefined {
  const due = (context_window ?? Number.POSITIVE_INFINITY) * summary_share;
  if (said.reduce((sum, { tokens }) => sum + tokens, 0) <= due) return undefined;
  let left = 0;
  for (let at = said.length - 1; at > 0; at -= 1) {
    left += said[at]?.tokens ?? 0;
    if (left >= due / 2 && said[at]?.role === 'user' && said[at - 1]?.role === 'assistant') return at - 1;
  }
  return undefined;
}

async function write(
  { caller, details, conversationId }: Occasion,
  { workspace_id, read_at }: Helpers,
  { model }: Helper,
  description: string,
  instructions: string,
  transcript: string,
  most: number,
  notes: (text: string) => { title?: string; summary?: string; message_id?: string },
): Promise<void> {
  const request: ChatRequest = {
    model,
    messages: [
      { role: 'system', content: instructions },
      { role: 'user', content: transcript },
    ],
    max_completion_tokens: most,
  };
  try {
    const call = await admit(
      {
        caller: { ...caller, workspace_id },
        requestId: `req_${crypto.randomUUID().replaceAll('-', '')}`,
        model,
        request,
        details: { ...details, scene: undefined, scene_description: description, conversation_id: conversationId },
        repeatable: {},
        isMessage: false,
      },
      worstCaseOf(limitedChat, request, new Map()),
    );
    if ('kept' in call) return;
    const answer = await (await answerAdmitted(limitedChat, request, call)).json();
    const text = toStorable(readChoice(objectsIn(answer.choices)[0] ?? {}).content.trim());
    const stored = text === '' ? {} : notes(text);
    await run(() =>
      database.rpc('store_conversation_notes', {
        conversation_id: conversationId,
        ...stored,
        working_model: model,
        at: read_at,
      }),
    );
  } catch (error) {
    if (!(error instanceof ApiError)) console.error(`${description} of ${conversationId}:`, error);
    // Not for what is its wallet's or its plan's: other conversations have theirs.
    if (!(error instanceof ApiError) || !error.code.startsWith('upstream')) return;
    await database.rpc('store_conversation_notes', { conversation_id: conversationId, failed_model: model });
  }
}

function transcriptOf(said: Pick<Said, 'role' | 'parts'>[], longest = Number.POSITIVE_INFINITY): string {
  const lines = said.map(({ role, parts }) => `${role}: ${parts.flatMap(wordsOf).join('\n').slice(0, longest)}`);
  return lines.join('\n\n').toWellFormed();
}

function newestWithin(said: Said[], room: number): Said[] {
  let left = room;
  const from = said.findLastIndex(({ tokens }) => {
    left -= tokens;
    return left < 0;
  });
  return said.slice(from + 1);
}
