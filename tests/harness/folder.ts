/** A folder for one test, which is removed after it, with files and scripts. */
import { untilTrue } from "./test_deadline.ts";
import { TempFolder, writeProgram } from "../../src/base/testing/temp_folder.ts";

export class Folder extends TempFolder {
  /** Resolves when a file of that name exists. */
  async has(name: string): Promise<void> {
    const isThere = () => Deno.stat(this.at(name)).then(() => true, () => false);
    await untilTrue(`the file ${name}`, isThere);
  }

  /** Resolves when the file exists and `enough` accepts its text. */
  async reads(name: string, enough: (text: string) => boolean): Promise<void> {
    let last: string | undefined;
    const isEnough = async () => {
      last = await this.read(name).catch(() => undefined);
      return last !== undefined && enough(last);
    };
    await untilTrue(`enough in the file ${name}`, isEnough, () => last ?? "there is none");
  }

  /** Writes an executable sh script. It runs in this folder, so that it finds the files of the test. */
  async script(name: string, body: string): Promise<string> {
    const path = this.at(name);
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await writeProgram(path, `#!/bin/sh\ncd '${this.path}' || exit 99\n${body}\n`);
    return path;
  }
}

/**
 * Shell text that waits until the test writes the file `name`. It gives up after a minute, so that it
 * cannot outlive a test that failed.
 */
export function waitForFile(name: string): string {
  return `n=0; while [ ! -e ${name} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done`;
}
