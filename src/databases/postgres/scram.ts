/** The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677). Pure but for the hashing. */
import { LoginRefused } from "../server.ts";

/** More rounds are refused: a server could make us calculate for hours. PostgreSQL's default is 4096. */
const ROUNDS_MAX = 1_000_000;

const TEXT = new TextEncoder();
/** No channel binding: `n,,` in Base64. */
const NO_BINDING = "biws";

/** One log-in. */
export class Scram {
  readonly #password: Uint8Array<ArrayBuffer>;
  readonly #nonce: string;
  #signature = "";

  /** `nonce` is printable and different for each log-in. */
  constructor(password: string, nonce: string) {
    // What RFC 4013 does to the text of passwords that people type.
    this.#password = TEXT.encode(password.normalize("NFKC"));
    this.#nonce = nonce;
  }

  /** The first message. The server takes the user from the start of the session. */
  first(): string {
    return `n,,${this.#firstBare()}`;
  }

  /** The answer to the server's first message; proves that we know the password. */
  async final(serverFirst: string): Promise<string> {
    const parts = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+=*),i=(\d{1,10})$/.exec(serverFirst);
    if (parts === null || !parts[1]!.startsWith(this.#nonce) || parts[1] === this.#nonce) {
      throw new LoginRefused("the server's SCRAM message is malformed");
    }
    const rounds = Number(parts[3]);
    if (rounds < 1 || rounds > ROUNDS_MAX) {
      throw new LoginRefused(`the server asks for ${rounds} rounds of SCRAM`);
    }
    const salted = await derive(this.#password, Uint8Array.fromBase64(parts[2]!), rounds);
    const bare = `c=${NO_BINDING},r=${parts[1]}`;
    const signed = TEXT.encode(`${this.#firstBare()},${serverFirst},${bare}`);
    const clientKey = await hmac(salted, TEXT.encode("Client Key"));
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const mask = await hmac(storedKey, signed);
    const proof = clientKey.map((byte, at) => byte ^ mask[at]!);
    this.#signature = (await hmac(await hmac(salted, TEXT.encode("Server Key")), signed))
      .toBase64();
    return `${bare},p=${proof.toBase64()}`;
  }

  /** Throws unless the server's last message proves that it knows the password too. */
  verify(serverFinal: string): void {
    if (this.#signature === "" || serverFinal !== `v=${this.#signature}`) {
      throw new LoginRefused("the server does not know the password itself");
    }
  }

  #firstBare(): string {
    return `n=,r=${this.#nonce}`;
  }
}

type Bytes = Uint8Array<ArrayBuffer>;

async function derive(password: Bytes, salt: Bytes, iterations: number): Promise<Bytes> {
  // WebCrypto takes no empty key, and PostgreSQL no empty password.
  if (password.length === 0) throw new LoginRefused("the password is empty");
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
}

async function hmac(key: Bytes, data: Bytes): Promise<Bytes> {
  const how = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, how, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
}
