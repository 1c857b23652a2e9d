/**
 * Which names of hosts a listener answers to. A web page can make a name of its own resolve to our address (DNS
 * rebinding); the browser then takes us for that page's server, and shows the page what we answer. It cannot do
 * that with an address in the place of a name, nor with a name that is not its own.
 */
/** An address as it stands in `Host`: with brackets around IPv6 (RFC 9110 section 7.2). */
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|\[[\da-f:.]+(%\w+)?\])$/;

/**
 * Whether a request with this `Host` is meant for us: by an address, by `localhost`, or by one of these names,
 * whatever the port.
 */
export function isOurName(host: string | undefined, names: readonly string[]): boolean {
  const name = (host ?? "").replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();
  if (ADDRESS.test(name)) return true;
  return /^([^@/]+\.)?localhost$/.test(name) || names.some((own) => own.toLowerCase() === name);
}
