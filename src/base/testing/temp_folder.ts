/** A folder for one test, which is removed with its contents at the end of its scope. */
export class TempFolder implements AsyncDisposable {
  constructor(readonly path: string) {}

  /** Makes one; a class that extends this one makes its own kind. */
  static async make<T extends TempFolder>(this: new (path: string) => T): Promise<T> {
    return new this(await Deno.realPath(await Deno.makeTempDir({ prefix: "failover-test-" })));
  }

  /** The path of a file in it, which need not exist. */
  at(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Writes a file; resolves with its path. */
  async write(name: string, text: string): Promise<string> {
    await Deno.writeTextFile(this.at(name), text);
    return this.at(name);
  }

  async read(name: string): Promise<string> {
    return await Deno.readTextFile(this.at(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/**
 * Writes a file that can be executed. Another process writes it: a child that another test starts meanwhile would hold
 * our descriptor for writing until its own execve(2), and a file that is open for writing cannot be started (ETXTBSY).
 */
export async function writeProgram(path: string, text: string, mode = 0o755): Promise<void> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", 'printf %s "$2" >"$1" && chmod "$3" "$1"', "sh", path, text, mode.toString(8)],
  }).output();
  if (!success) throw new Error(`Cannot write ${path}`);
}

/** Runs `work` with the path of such a folder. */
export async function inTempFolder(work: (folder: string) => Promise<void>): Promise<void> {
  await using folder = await TempFolder.make();
  await work(folder.path);
}
