/**
 * The access logs of all HTTP services. Services that name the same path share one file. Part of the composition
 * root.
 */
import type { Clock } from "../base/clock.ts";
import { quote } from "../config/kinds.ts";
import type { Config } from "../config/options.ts";
import { whyUnreadable } from "../config/unreadable.ts";
import type { Publish } from "../events/events.ts";
import { AccessLogFile } from "../report/access_log_file.ts";

/** The open files of the process. */
export class AccessLogs implements Disposable {
  readonly #files: ReadonlyMap<string, AccessLogFile>;
  /** One line for each file that cannot be opened. */
  readonly errors: readonly string[];

  /** Opens the files of all services. */
  static async open(
    { services }: Config,
    clock: Clock,
    publish: Publish,
  ): Promise<AccessLogs> {
    const files = new Map<string, AccessLogFile>();
    const lines: string[] = [];
    for (const service of services) {
      if (service.mode !== "http" || service.accessLog === "off") continue;
      const { accessLog: path, origins } = service;
      if (files.has(path)) continue;
      const onKept = (reason: string) =>
        publish({
          type: "config.warned",
          warning:
            `the access log ${path} cannot be opened again, the old file stays in use: ${reason}`,
        });
      try {
        files.set(path, await AccessLogFile.open(path, clock, onKept));
      } catch (error) {
        // A missing file is made, so it can only be the folder that does not exist.
        const isMissing = error instanceof Deno.errors.NotFound;
        const why = isMissing ? "its folder does not exist" : whyUnreadable(error);
        lines.push(`Cannot use ${quote(path)} as access_log: ${why} (from ${origins.accessLog})`);
      }
    }
    return new AccessLogs(files, lines);
  }

  private constructor(files: ReadonlyMap<string, AccessLogFile>, errors: readonly string[]) {
    this.errors = errors;
    this.#files = files;
  }

  /** The file at this path, if it is one of them. */
  at(path: string): AccessLogFile | undefined {
    return this.#files.get(path);
  }

  /** True if there is a file that may have to be opened again. */
  get hasFiles(): boolean {
    return [...this.#files.keys()].some((path) => path !== "-");
  }

  /** Opens each file again by its path before its next line: logrotate(8) may have moved it. */
  reopen(): void {
    for (const file of this.#files.values()) file.reopen();
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file[Symbol.dispose]();
  }
}
