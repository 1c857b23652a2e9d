/** Scripts on disk for the tests of this room, and a way to wait for their output. */
import { TempFolder } from "../../base/testing/temp_folder.ts";

/** A folder with programs. */
export class ProgramFolder extends TempFolder {
  /**
   * Writes a file; executable unless `mode` says otherwise. Returns its path. Another process writes it: a
   * child that some other test starts meanwhile would hold our descriptor for writing until its own
   * execve(2), and a file that is open for writing cannot be started (ETXTBSY).
   */
  override async write(name: string, text: string, mode = 0o755): Promise<string> {
    const path = this.at(name);
    const { success } = await new Deno.Command("sh", {
      args: ["-c", 'printf %s "$2" >"$1" && chmod "$3" "$1"', "sh", path, text, mode.toString(8)],
    }).output();
    if (!success) throw new Error(`Cannot write ${path}`);
    return path;
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
