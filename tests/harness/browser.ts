/**
 * Debian's headless Chromium, controlled over the WebDriver protocol (W3C, "WebDriver", sections 8 to 13)
 * with `fetch` only. Whatever the pages write to the console can be read back.
 */
import { Child } from "./child.ts";
import { Folder } from "./folder.ts";
import { withTestDeadline } from "./test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** The programs that it needs. */
export const BROWSER = ["chromium", "chromedriver"];

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--no-proxy-server",
];

export interface LogEntry {
  readonly level: string;
  readonly message: string;
}

export class Browser implements AsyncDisposable {
  readonly #driver: Child;
  readonly #folder: Folder;
  readonly #url: string;

  private constructor(driver: Child, folder: Folder, url: string) {
    this.#driver = driver;
    this.#folder = folder;
    this.#url = url;
  }

  /** `more`: arguments of Chromium. */
  static async start(more: readonly string[] = []): Promise<Browser> {
    const folder = await Folder.make();
    const port = unusedPort();
    const ready = Promise.withResolvers<void>();
    const log: string[] = [];
    const driver = new Child("chromedriver", {
      args: [`--port=${port}`],
      env: { HOME: folder.path, XDG_CONFIG_HOME: folder.path, XDG_CACHE_HOME: folder.path },
      onOut: (line) => {
        log.push(line);
        if (line.includes("started successfully")) ready.resolve();
      },
      onErr: (line) => log.push(line),
    });
    try {
      await withTestDeadline("the browser's driver", ready.promise, () => log.join("\n"));
      const args = [...FLAGS, ...more, `--user-data-dir=${folder.at("profile")}`];
      const base = `http://127.0.0.1:${port}`;
      const session = await order(`${base}/session`, "POST", {
        capabilities: {
          alwaysMatch: {
            "browserName": "chrome",
            "goog:chromeOptions": { args },
            "goog:loggingPrefs": { browser: "ALL" },
          },
        },
      });
      const { sessionId } = session as { sessionId: string };
      return new Browser(driver, folder, `${base}/session/${sessionId}`);
    } catch (error) {
      await driver.kill();
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Loads a page; resolves when it has loaded with all its assets. */
  async open(url: string): Promise<void> {
    await order(`${this.#url}/url`, "POST", { url });
  }

  /** Runs the body of a function in the page and returns what it returns. */
  async run(script: string): Promise<unknown> {
    return await order(`${this.#url}/execute/sync`, "POST", { script, args: [] });
  }

  /** Evaluates `condition` in the page until it is true; a failure shows the last `state`. */
  async until(condition: string, state: string, more: () => string = () => ""): Promise<void> {
    let last: unknown;
    const asking = async () => {
      for (;;) {
        const [isTrue, now] = await this.run(`return [${condition}, ${state}]`) as [
          boolean,
          unknown,
        ];
        if (isTrue) return;
        last = now;
      }
    };
    await withTestDeadline(condition, asking(), () => `${JSON.stringify(last)}\n${more()}`);
  }

  /** From now on pages are shown as on a screen of this size, in CSS pixels. */
  async emulate(width: number, height: number): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.#devtools("Emulation.setDeviceMetricsOverride", metrics);
  }

  /** From now on no script of a page runs. */
  async withoutScripts(): Promise<void> {
    await this.#devtools("Emulation.setScriptExecutionDisabled", { value: true });
  }

  /** A command of Chromium's DevTools protocol. */
  async #devtools(cmd: string, params: Readonly<Record<string, unknown>>): Promise<void> {
    await order(`${this.#url}/goog/cdp/execute`, "POST", { cmd, params });
  }

  /** The visible text of the first element that the CSS selector finds. */
  async text(selector: string): Promise<string> {
    const query = { using: "css selector", value: selector };
    const found = await order(`${this.#url}/element`, "POST", query) as Record<string, string>;
    const [id] = Object.values(found);
    return await order(`${this.#url}/element/${id}/text`, "GET") as string;
  }

  /** A picture of what is visible, as PNG. */
  async screenshot(): Promise<Uint8Array> {
    const text = await order(`${this.#url}/screenshot`, "GET") as string;
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  }

  /** What was written to the console since the last call. */
  async console(): Promise<readonly LogEntry[]> {
    return await order(`${this.#url}/se/log`, "POST", { type: "browser" }) as LogEntry[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The driver ends its browser with the session.
    await order(this.#url, "DELETE");
    await this.#driver.kill();
    await this.#folder[Symbol.asyncDispose]();
  }
}

async function order(url: string, method: string, body?: unknown): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const answer = withTestDeadline(
    `${method} ${url}`,
    fetch(url, init).then((response) => response.json()),
  );
  const { value } = await answer as { value: { error?: string; message?: string } | null };
  if (value?.error !== undefined) throw new Error(`${value.error}: ${value.message}`);
  return value;
}
