/** The page of each 503 that the proxy answers itself: the operator's file, or the built-in page. */

/** The page that is sent when no upstream can answer. */
export interface ErrorPage {
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** The page that is sent if `--error-page` names none. */
export const DEFAULT_PAGE: ErrorPage = {
  contentType: "text/html; charset=utf-8",
  bytes: new TextEncoder().encode(
    `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Back in a moment</title>
<style>body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; padding: 0 1rem }</style>
<h1>Back in a moment</h1>
<p>This service cannot answer right now. Please try again shortly.</p>
</html>
`,
  ),
};

/** Whether clients would get the same. */
export function isSamePage(one: ErrorPage, other: ErrorPage): boolean {
  return one.contentType === other.contentType && one.bytes.length === other.bytes.length &&
    one.bytes.every((byte, at) => byte === other.bytes[at]);
}
