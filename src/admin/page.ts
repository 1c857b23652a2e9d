/**
 * The operator's page, `/__failover/`: one HTML file with its style and its script in it. The content security
 * policy allows these two by their hashes and nothing else: no other script, no inline style, no other origin.
 */
import type { Context } from "hono";
import { html, raw } from "hono/html";
import script from "./page/page.js" with { type: "text" };
import style from "./page/page.css" with { type: "text" };
import frame from "./page/page.html" with { type: "text" };
import { type PageSettings, pageState } from "./page_state.ts";

const POLICY = [
  "default-src 'none'",
  `style-src '${await hashOf(style)}'`,
  `script-src '${await hashOf(script)}'`,
  "connect-src 'self'",
  "img-src data:",
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

/** The source expression of a text that stands in the page (CSP level 3, section 2.3.1). */
async function hashOf(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `sha256-${btoa(String.fromCharCode(...hash))}`;
}

/** `GET /__failover/`: the whole page. */
export async function answerPage(c: Context, settings: PageSettings): Promise<Response> {
  const state = String(await pageState(settings));
  const asOf = new Date(settings.clock.wall()).toISOString();
  // The state comes last, because nothing in it may be taken for a placeholder.
  // Not one space may be added, since the policy has the hashes.
  const page = frame.replace(/(<style>)[^<]*/, (_, tag) => tag + style)
    .replace(/(<script type="module">)[^<]*/, (_, tag) => tag + script)
    .replace('<time id="as-of"></time>', () => `<time datetime="${asOf}">${asOf}</time>`)
    .replace("<!--state-->", () => state);
  c.header("content-security-policy", POLICY);
  c.header("referrer-policy", "no-referrer");
  return c.html(html`${raw(page)}`);
}

/** `GET /__failover/page`: what stands in its `main` now. */
export async function answerPageState(c: Context, settings: PageSettings): Promise<Response> {
  c.header("content-security-policy", "default-src 'none'");
  return c.html(await pageState(settings));
}
