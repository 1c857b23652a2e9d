/**
 * The page that the browser scenario loads: assets of several kinds, a WebSocket, an event stream and
 * regular requests. It records all errors in `window.errors`. The page opens a WebSocket that was cut
 * again, as usual; the browser itself reopens an event stream.
 */

const HTML = `<!doctype html>
<title>failover</title>
<link rel="stylesheet" href="/style.css" onerror="errors.push('style')">
<script>
window.errors = [];
window.heard = { socket: [], events: [], requests: [], assets: [] };
addEventListener("error", (e) => errors.push("error: " + (e.message ?? e.target?.src)), true);
addEventListener("unhandledrejection", (e) => errors.push("rejection: " + e.reason));
</script>
<img src="/image.svg" alt="">
<script src="/app.js"></script>
`;

const SCRIPT = `
heard.assets.push("script");
document.images[0].decode().then(() => heard.assets.push("image"));

function openSocket() {
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/socket");
  socket.onmessage = (e) => heard.socket.push(e.data);
  socket.onclose = () => setTimeout(openSocket, 50);
}
openSocket();

new EventSource("/events").onmessage = (e) => heard.events.push(e.data);

async function ask() {
  for (let count = 0; ; count++) {
    const response = await fetch("/?" + count, { method: count % 2 ? "GET" : "HEAD" });
    if (!response.ok) errors.push("status " + response.status);
    heard.requests.push(response.headers.get("X-Served-By"));
    const asset = new Image();
    asset.onerror = () => errors.push("image");
    asset.src = "/image.svg?" + count;
    await asset.decode();
  }
}
ask().catch((e) => errors.push("request: " + e));
`;

export const PAGE: Readonly<Record<string, { readonly type: string; readonly body: string }>> = {
  "/page": { type: "text/html; charset=utf-8", body: HTML },
  "/style.css": { type: "text/css", body: "body { color: rgb(1, 2, 3) }" },
  "/app.js": { type: "text/javascript", body: SCRIPT },
  "/image.svg": {
    type: "image/svg+xml",
    body: `<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"></svg>`,
  },
};
