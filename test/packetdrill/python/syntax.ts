import { PythonError, type Token, tokenize } from "./tokens.ts";

export type Expression =
  | { readonly kind: "constant"; readonly value: Constant }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list"; readonly items: readonly Expression[] }
  | { readonly kind: "unary"; readonly operator: string; readonly operand: Expression }
  | {
      readonly kind: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: "logic";
      readonly operator: "and" | "or";
      readonly left: Expression;
      readonly right: Expression;
    }
  /** `a < b <= c`: each with the one after it. */
  | {
      readonly kind: "compare";
      readonly operators: readonly string[];
      readonly operands: readonly Expression[];
    }
  | {
      readonly kind: "choice";
      readonly test: Expression;
      readonly yes: Expression;
      readonly otherwise: Expression;
    }
  | { readonly kind: "call"; readonly callee: Expression; readonly args: readonly Expression[] }
  | { readonly kind: "index"; readonly of: Expression; readonly index: Expression }
  | { readonly kind: "attribute"; readonly of: Expression; readonly name: string }
  /** An f-string: text and what stands in braces, with the format behind the colon. */
  | {
      readonly kind: "format";
      readonly parts: readonly (string | { readonly value: Expression; readonly format: string })[];
    };

export type Constant = number | string | boolean | null;

export type Statement =
  | { readonly kind: "assert"; readonly test: Expression; readonly message: Expression | null }
  | { readonly kind: "print"; readonly args: readonly Expression[] }
  | { readonly kind: "assign"; readonly name: string; readonly operator: string; readonly value: Expression }
  | { readonly kind: "expression"; readonly value: Expression }
  | { readonly kind: "pass" }
  | {
      readonly kind: "if";
      readonly test: Expression;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    };

/**
 * Reads code of the part of Python that test scripts are written in.
 *
 * @throws PythonError
 */
export function parsePython(code: string): Statement[] {
  const parser = new Parser(tokenize(code));
  return parser.program();
}

/** Binary operators from the loosest to the tightest. */
const LEVELS: readonly (readonly string[])[] = [
  ["|"],
  ["^"],
  ["&"],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "//", "%"],
];
const COMPARISONS = new Set(["<", ">", "<=", ">=", "==", "!="]);
const ASSIGNMENTS = new Set([
  "=",
  "+=",
  "-=",
  "*=",
  "/=",
  "//=",
  "%=",
  "&=",
  "|=",
  "^=",
  "<<=",
  ">>=",
  "**=",
]);
const KEYWORDS = new Set([
  "for",
  "while",
  "def",
  "class",
  "import",
  "from",
  "return",
  "try",
  "with",
  "lambda",
  "raise",
]);

class Parser {
  private readonly tokens: readonly Token[];
  private at = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  program(): Statement[] {
    const statements: Statement[] = [];
    while (this.peek().kind !== "end") statements.push(...this.line());
    return statements;
  }

  private peek(): Token {
    return this.tokens[this.at] as Token;
  }

  private eat(text: string): boolean {
    const token = this.peek();
    if (token.text !== text || (token.kind !== "symbol" && token.kind !== "name")) return false;
    this.at++;
    return true;
  }

  private eatKind(kind: Token["kind"]): boolean {
    if (this.peek().kind !== kind) return false;
    this.at++;
    return true;
  }

  private need(text: string): void {
    if (!this.eat(text)) throw new PythonError(`expected "${text}", found "${this.found()}"`);
  }

  private found(): string {
    const token = this.peek();
    return token.text === ""
      ? `the ${token.kind === "newline" ? "end of the line" : token.kind}`
      : token.text;
  }

  /** Statements with `;` between, up to the end of the line; or one with a block of its own. */
  private line(): Statement[] {
    if (this.eat("if")) return [this.ifRest()];
    const statements = [this.statement()];
    while (this.eat(";")) {
      if (this.peek().kind === "newline") break;
      statements.push(this.statement());
    }
    if (!this.eatKind("newline"))
      throw new PythonError(`expected the end of the line, found "${this.found()}"`);
    return statements;
  }

  private ifRest(): Statement {
    const test = this.expression();
    this.need(":");
    const body = this.suite();
    if (this.eat("elif")) return { kind: "if", test, body, otherwise: [this.ifRest()] };
    if (!this.eat("else")) return { kind: "if", test, body, otherwise: [] };
    this.need(":");
    return { kind: "if", test, body, otherwise: this.suite() };
  }

  private suite(): Statement[] {
    if (!this.eatKind("newline")) return this.line();
    if (!this.eatKind("indent")) throw new PythonError("expected a block, indented");
    const statements: Statement[] = [];
    while (!this.eatKind("dedent")) statements.push(...this.line());
    return statements;
  }

  private statement(): Statement {
    const token = this.peek();
    if (token.kind === "name" && KEYWORDS.has(token.text))
      throw new PythonError(`"${token.text}" is not supported`);
    if (this.eat("pass")) return { kind: "pass" };
    if (this.eat("assert")) {
      const test = this.expression();
      return { kind: "assert", test, message: this.eat(",") ? this.tuple() : null };
    }
    if (token.text === "print" && token.kind === "name" && this.tokens[this.at + 1]?.text !== "=")
      return this.print();
    const next = this.tokens[this.at + 1];
    if (token.kind === "name" && next?.kind === "symbol" && ASSIGNMENTS.has(next.text)) {
      this.at += 2;
      return { kind: "assign", name: token.text, operator: next.text.slice(0, -1), value: this.tuple() };
    }
    return { kind: "expression", value: this.tuple() };
  }

  /** `print(a, b)`, and `print a, b` of Python 2. */
  private print(): Statement {
    this.need("print");
    if (this.peek().kind === "newline" || this.peek().text === ";") return { kind: "print", args: [] };
    const value = this.tuple();
    return { kind: "print", args: value.kind === "list" ? value.items : [value] };
  }

  private tuple(): Expression {
    const first = this.expression();
    if (this.peek().text !== "," || this.peek().kind !== "symbol") return first;
    const items = [first];
    while (this.eat(",")) items.push(this.expression());
    return { kind: "list", items };
  }

  private expression(): Expression {
    const value = this.or();
    if (!this.eat("if")) return value;
    const test = this.or();
    this.need("else");
    return { kind: "choice", test, yes: value, otherwise: this.expression() };
  }

  private or(): Expression {
    let left = this.and();
    while (this.eat("or")) left = { kind: "logic", operator: "or", left, right: this.and() };
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.eat("and")) left = { kind: "logic", operator: "and", left, right: this.not() };
    return left;
  }

  private not(): Expression {
    if (this.eat("not")) return { kind: "unary", operator: "not", operand: this.not() };
    return this.comparison();
  }

  private comparison(): Expression {
    const operands = [this.binary(0)];
    const operators: string[] = [];
    for (let operator = this.comparator(); operator !== null; operator = this.comparator()) {
      operators.push(operator);
      operands.push(this.binary(0));
    }
    return operators.length === 0 ? (operands[0] as Expression) : { kind: "compare", operators, operands };
  }

  private comparator(): string | null {
    const token = this.peek();
    if (token.kind === "symbol" && COMPARISONS.has(token.text)) {
      this.at++;
      return token.text;
    }
    if (this.eat("in")) return "in";
    if (this.eat("is")) return this.eat("not") ? "is not" : "is";
    if (token.text !== "not" || this.tokens[this.at + 1]?.text !== "in") return null;
    this.at += 2;
    return "not in";
  }

  private binary(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (
      let token = this.peek();
      token.kind === "symbol" && operators.includes(token.text);
      token = this.peek()
    ) {
      this.at++;
      left = { kind: "binary", operator: token.text, left, right: this.binary(level + 1) };
    }
    return left;
  }

  private unary(): Expression {
    for (const operator of ["-", "+", "~"]) {
      if (this.eat(operator)) return { kind: "unary", operator, operand: this.unary() };
    }
    const base = this.postfix();
    return this.eat("**") ? { kind: "binary", operator: "**", left: base, right: this.unary() } : base;
  }

  private postfix(): Expression {
    let value = this.primary();
    for (;;) {
      if (this.eat("(")) value = { kind: "call", callee: value, args: this.list(")") };
      else if (this.eat("[")) {
        value = { kind: "index", of: value, index: this.expression() };
        this.need("]");
      } else if (this.eat(".")) value = { kind: "attribute", of: value, name: this.name() };
      else return value;
    }
  }

  private name(): string {
    const token = this.peek();
    if (token.kind !== "name") throw new PythonError(`expected a name, found "${this.found()}"`);
    this.at++;
    return token.text;
  }

  private list(close: string): Expression[] {
    const items: Expression[] = [];
    while (!this.eat(close)) {
      items.push(this.expression());
      if (this.eat(",")) continue;
      this.need(close);
      break;
    }
    return items;
  }

  private primary(): Expression {
    const token = this.peek();
    this.at++;
    if (token.kind === "number") return { kind: "constant", value: Number(token.text) };
    if (token.kind === "string") return { kind: "constant", value: this.joined(token.text) };
    if (token.kind === "format") return formatString(token.text);
    if (token.kind === "name") return named(token.text);
    if (token.text === "(") {
      const items = this.list(")");
      const isTuple = items.length !== 1 || this.tokens[this.at - 2]?.text === ",";
      return isTuple ? { kind: "list", items } : (items[0] as Expression);
    }
    if (token.text === "[") return { kind: "list", items: this.list("]") };
    this.at--;
    throw new PythonError(`expected a value, found "${this.found()}"`);
  }

  /** Strings one after the other are one. */
  private joined(first: string): string {
    let text = first;
    for (let token = this.peek(); token.kind === "string"; token = this.peek()) {
      text += token.text;
      this.at++;
    }
    return text;
  }
}

const CONSTANTS = new Map<string, Constant>([
  ["True", true],
  ["False", false],
  ["None", null],
]);

function named(name: string): Expression {
  const value = CONSTANTS.get(name);
  return value === undefined ? { kind: "name", name } : { kind: "constant", value };
}

function formatString(text: string): Expression {
  const parts: (string | { value: Expression; format: string })[] = [];
  for (const part of text.match(/\{\{|\}\}|\{[^{}]*\}|[^{}]+/g) ?? []) {
    if (!part.startsWith("{") || part === "{{") {
      parts.push(part === "{{" ? "{" : part === "}}" ? "}" : part);
      continue;
    }
    const [inner = "", format = ""] = part.slice(1, -1).split(":");
    const statement = parsePython(inner.replace(/=$/, ""))[0];
    if (statement?.kind !== "expression") throw new PythonError(`"${inner}" is no value`);
    if (inner.endsWith("=")) parts.push(inner);
    parts.push({ value: statement.value, format });
  }
  return { kind: "format", parts };
}
