/** The operator's commands, in separate processes. */
import { Child } from "./child.ts";
import { EXECUTABLE } from "./proxy.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** The exit code and the output of a command. */
export interface CommandRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `failover ARGS` to its end; `under` is a command that starts the rest of its arguments. */
export async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  under: readonly string[] = [],
): Promise<CommandRun> {
  const [program, ...before] = [...under, Deno.execPath()];
  const running = new Deno.Command(program!, {
    args: [...before, ...EXECUTABLE, ...args],
    env: { FAILOVER_CONTROL: "", NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const { code, stdout, stderr } = await withTestDeadline(`failover ${args.join(" ")}`, running);
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  return { code, out: out!, err: err! };
}

/** A command that runs until it is ended, and its lines so far. */
export class RunningCommand implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #child: Child;
  #news = Promise.withResolvers<void>();

  /** Runs it with a terminal of this size as its stdout, by script(1). */
  static inTerminal(
    args: readonly string[],
    { columns, rows }: { readonly columns: number; readonly rows: number },
  ): RunningCommand {
    const words = [Deno.execPath(), ...EXECUTABLE, ...args];
    const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const inside = `stty cols ${columns} rows ${rows}; exec ${line}`;
    return new RunningCommand(["-qefc", inside, "/dev/null"], ["script"]);
  }

  constructor(args: readonly string[], program = [Deno.execPath(), ...EXECUTABLE]) {
    const onOut = (line: string) => {
      this.lines.push(line);
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    };
    const [first, ...before] = program;
    this.#child = new Child(first!, {
      args: [...before, ...args],
      env: { FAILOVER_CONTROL: "", NO_COLOR: "1" },
      onOut,
      onErr: onOut,
    });
    void this.#child.ended.then(() => this.#news.resolve());
  }

  /** The first line that `pattern` matches; waits for it if needed. */
  async line(pattern: RegExp): Promise<string> {
    const search = async () => {
      for (;;) {
        const found = this.lines.find((line) => pattern.test(line));
        if (found !== undefined) return found;
        if (this.#child.isSilent) throw new Error(`it ended before ${pattern}:\n${this.#said()}`);
        await this.#news.promise;
      }
    };
    return await withTestDeadline(String(pattern), search(), this.#said);
  }

  readonly #said = () => this.lines.join("\n");

  /** Ends it by a signal, or waits for its own end; resolves with its exit code. */
  async end(signal?: Deno.Signal): Promise<number> {
    if (signal !== undefined) this.#child.signal(signal);
    return (await withTestDeadline("the command to end", this.#child.ended, this.#said)).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.kill();
  }
}
