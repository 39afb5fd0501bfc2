/** What every command has in common: how it ends, and how an error is shown. */
import { StackError } from '@basemeter/local-supabase';

/** A command: gets the words after its name, gives its exit code (0 when it gives none). */
export type Command = (args: string[]) => Promise<number | undefined>;

/** Runs a command and ends the process with its code. A StackError is one sentence and code 1; else the stack shows. */
export async function runCommand(command: Command, args: string[]): Promise<void> {
  let code = 1;
  try {
    code = (await command(args)) ?? 0;
  } catch (error) {
    console.error(error instanceof StackError ? error.message : error);
  }
  process.exit(code);
}
