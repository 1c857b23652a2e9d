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

/** How long a file stays open that no service names any more, in milliseconds: lines may be on their way to it. */
const LAST_LINES_MS = 5_000;

/** The open files of the process. */
export class AccessLogs implements Disposable {
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #files = new Map<string, AccessLogFile>();
  /** Files that no service names any more, by path. */
  readonly #closing = new Map<
    string,
    { readonly file: AccessLogFile; readonly close: () => void }
  >();
  /** One line for each file that could not be opened at the start. */
  errors: readonly string[] = [];

  /** Opens the files of all services. */
  static async open(config: Config, clock: Clock, publish: Publish): Promise<AccessLogs> {
    const logs = new AccessLogs(clock, publish);
    const { files, errors } = await logs.#opened(config);
    for (const [path, file] of files) logs.#files.set(path, file);
    logs.errors = errors;
    return logs;
  }

  private constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
  }

  /**
   * Opens the files of other options beside those that are open. Resolves with error lines, or with what adds them;
   * `discard` closes them again, and `keepOnly` closes those that these options do not name.
   */
  async prepare(config: Config): Promise<PreparedLogs | readonly string[]> {
    const { files, errors } = await this.#opened(config);
    const discard = () => files.forEach((file) => file[Symbol.dispose]());
    if (errors.length > 0) {
      discard();
      return errors;
    }
    return {
      add: () => files.forEach((file, path) => this.#files.set(path, file)),
      discard: () => {
        for (const path of files.keys()) this.#files.delete(path);
        discard();
      },
      keepOnly: () => this.#closeUnnamed(new Set(pathsOf(config).keys())),
    };
  }

  /** The file at this path, if it is one of them, or was until a short time ago: its last lines still belong there. */
  at(path: string): AccessLogFile | undefined {
    return this.#files.get(path) ?? this.#closing.get(path)?.file;
  }

  /** The next lines are written to the files that the paths name then. */
  reopen(): void {
    for (const file of this.#files.values()) file.reopen();
  }

  [Symbol.dispose](): void {
    for (const { close } of this.#closing.values()) close();
    for (const file of this.#files.values()) file[Symbol.dispose]();
  }

  #closeUnnamed(named: ReadonlySet<string>): void {
    for (const [path, file] of this.#files) {
      if (named.has(path)) continue;
      this.#files.delete(path);
      this.#closeSoon(path, file);
    }
  }

  #closeSoon(path: string, file: AccessLogFile): void {
    this.#closing.get(path)?.close();
    const close = () => {
      cancel();
      this.#closing.delete(path);
      file[Symbol.dispose]();
    };
    const cancel = this.#clock.after(LAST_LINES_MS, close);
    this.#closing.set(path, { file, close });
  }

  /** Opens those that are not open yet. */
  async #opened(config: Config): Promise<{
    readonly files: ReadonlyMap<string, AccessLogFile>;
    readonly errors: readonly string[];
  }> {
    const files = new Map<string, AccessLogFile>();
    const errors: string[] = [];
    for (const [path, origin] of pathsOf(config)) {
      if (this.#files.has(path)) continue;
      const onKept = (reason: string) =>
        this.#publish({
          type: "config.warned",
          warning:
            `the access log ${path} cannot be opened again, the old file stays in use: ${reason}`,
        });
      try {
        files.set(path, await AccessLogFile.open(path, this.#clock, onKept));
      } catch (error) {
        // A missing file is made, so it can only be the folder that does not exist.
        const isMissing = error instanceof Deno.errors.NotFound;
        const why = isMissing ? "its folder does not exist" : whyUnreadable(error);
        errors.push(`Cannot use ${quote(path)} as access_log: ${why} (from ${origin})`);
      }
    }
    return { files, errors };
  }
}

/** Files that were opened for other options. */
export interface PreparedLogs {
  add(): void;
  discard(): void;
  keepOnly(): void;
}

/** The paths that these options name, each with its origin. */
function pathsOf({ services }: Config): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const service of services) {
    if (service.mode !== "http" || service.accessLog === "off") continue;
    const { accessLog, origins } = service;
    if (!paths.has(accessLog)) paths.set(accessLog, String(origins.accessLog));
  }
  return paths;
}
