/** A piece of Python: `text` is as written, but for a string, whose value it is. */
export interface Token {
  readonly kind: "number" | "string" | "format" | "name" | "symbol" | "newline" | "indent" | "dedent" | "end";
  readonly text: string;
}

/** Code that is not understood, or that fails: the sentence says how. */
export class PythonError extends Error {
  override readonly name = "PythonError";
}

const NUMBER = /0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const STRING = /([fFrRbB]?)(?:"((?:\\.|[^"\\\n])*)"|'((?:\\.|[^'\\\n])*)')/y;
const SYMBOL = /\*\*=|\/\/=|<<=|>>=|\*\*|\/\/|<<|>>|<=|>=|==|!=|[-+*/%&|^]=|[-+*/%&|^~<>=()[\],:;.{}]/y;

/**
 * Cuts code into pieces; the beginnings and ends of blocks are pieces of their own, as in Python.
 *
 * @throws PythonError
 */
export function tokenize(code: string): Token[] {
  const tokens: Token[] = [];
  const indents = [0];
  let depth = 0;
  for (const line of joinedLines(code)) {
    const body = line.trimStart();
    if (body === "" || body.startsWith("#")) continue;
    if (depth === 0) indent(tokens, indents, line.length - body.length);
    depth = tokenizeLine(body, tokens, depth);
    if (depth === 0) tokens.push({ kind: "newline", text: "" });
  }
  if (depth > 0) throw new PythonError("a parenthesis is not closed");
  indent(tokens, indents, 0);
  tokens.push({ kind: "end", text: "" });
  return tokens;
}

/** The first line of a snippet begins where the code does: what stands before it in the script is no indentation. */
function joinedLines(code: string): string[] {
  return code
    .trim()
    .replace(/\\(?:\n|$)/g, " ")
    .replaceAll("\t", "        ")
    .split("\n");
}

function indent(tokens: Token[], indents: number[], width: number): void {
  // Lines of a snippet are often indented as the script is, which the first line cannot show.
  if (tokens.length > 0 && indents.length === 1 && !endsWithColon(tokens)) return;
  if (width > (indents.at(-1) ?? 0)) {
    indents.push(width);
    tokens.push({ kind: "indent", text: "" });
  }
  while (width < (indents.at(-1) ?? 0)) {
    indents.pop();
    tokens.push({ kind: "dedent", text: "" });
  }
}

function endsWithColon(tokens: readonly Token[]): boolean {
  return tokens.at(-1)?.kind === "newline" && tokens.at(-2)?.text === ":";
}

function tokenizeLine(line: string, tokens: Token[], depth: number): number {
  let at = 0;
  let open = depth;
  while (at < line.length) {
    if (line[at] === " ") {
      at++;
      continue;
    }
    if (line[at] === "#") break;
    const token = readToken(line, at);
    if (token === null) throw new PythonError(`"${line.slice(at, at + 20)}" is not understood`);
    if (token.kind === "symbol" && /[([{]/.test(token.text)) open++;
    if (token.kind === "symbol" && /[)\]}]/.test(token.text)) open--;
    tokens.push({ kind: token.kind, text: token.text });
    at += token.length;
  }
  return open;
}

function readToken(line: string, at: number): (Token & { length: number }) | null {
  STRING.lastIndex = at;
  const string = STRING.exec(line);
  if (string !== null) {
    const raw = string[2] ?? string[3] ?? "";
    const prefix = (string[1] ?? "").toLowerCase();
    const text =
      prefix === "r"
        ? raw
        : raw.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c === "t" ? "\t" : c));
    return { kind: prefix === "f" ? "format" : "string", text, length: string[0].length };
  }
  for (const [kind, pattern] of [
    ["number", NUMBER],
    ["name", NAME],
    ["symbol", SYMBOL],
  ] as const) {
    pattern.lastIndex = at;
    const found = pattern.exec(line);
    if (found !== null) return { kind, text: found[0], length: found[0].length };
  }
  return null;
}
