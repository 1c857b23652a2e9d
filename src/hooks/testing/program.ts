/** Scripts on disk for the tests of this room, and a way to wait for their output. */
import { TempFolder, writeProgram } from "../../base/testing/temp_folder.ts";

/** A folder with programs. */
export class ProgramFolder extends TempFolder {
  /** Writes a file; executable unless `mode` says otherwise. Returns its path. */
  override async write(name: string, text: string, mode = 0o755): Promise<string> {
    await writeProgram(this.at(name), text, mode);
    return this.at(name);
  }

  /** Writes an executable shell script. */
  script(name: string, body: string): Promise<string> {
    return this.write(name, `#!/bin/sh\n${body}\n`);
  }

  /**
   * Makes a named pipe. Reading it to its end waits until every process that has it open for writing has
   * ended; `exec 3>"$1"` opens it for a script and its children.
   */
  async fifo(name: string): Promise<string> {
    const path = `${this.path}/${name}`;
    const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
    if (!success) throw new Error(`Cannot make the pipe ${path}`);
    return path;
  }
}

/**
 * Another process that has a file open for writing until this is disposed of. A descriptor of our own would stay open
 * in a child that another test starts meanwhile.
 */
export class OpenForWriting implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
  }

  static async begin(path: string): Promise<OpenForWriting> {
    const args = ["-c", 'exec 3>>"$1" && echo && read -r _', "sh", path];
    const pipes = { stdin: "piped", stdout: "piped" } as const;
    const process = new Deno.Command("sh", { args, ...pipes }).spawn();
    const reader = process.stdout.getReader();
    const { done } = await reader.read();
    reader.releaseLock();
    if (done) throw new Error(`Cannot open ${path}`);
    return new OpenForWriting(process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stdin.close();
    await this.#process.stdout.cancel();
    await this.#process.status;
  }
}

/** Collects lines, and waits for the first one that begins with a given text. */
export class LineCollector {
  readonly lines: string[] = [];
  readonly #waiting: { start: string; resolve: (line: string) => void }[] = [];

  readonly add = (line: string): void => {
    this.lines.push(line);
    for (const { start, resolve } of this.#waiting) if (line.startsWith(start)) resolve(line);
  };

  first(start: string): Promise<string> {
    const line = this.lines.find((line) => line.startsWith(start));
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => this.#waiting.push({ start, resolve }));
  }
}
