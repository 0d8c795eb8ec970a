import { formatPercent, formatValue, repr, str, type Value } from "./format.ts";
import { type Expression, parsePython, type Statement } from "./syntax.ts";
import { PythonError } from "./tokens.ts";

export type { Value } from "./format.ts";
export { PythonError } from "./tokens.ts";

/** What code leaves behind. */
export interface Outcome {
  /** Why it failed: an assertion that does not hold, with the values of the names in it; or a mistake. `null`: it passed. */
  readonly failure: string | null;
  /** What it printed, line by line. */
  readonly printed: readonly string[];
}

/**
 * Runs Python: assertions, assignments, conditions and `print` over numbers, strings and lists. Nothing of the program
 * that calls this can be reached from it.
 *
 * @param variables what earlier code assigned; assignments are added to it
 * @param given what is known besides: `tcpi_...` and constants
 *
 * @example
 * ```ts
 * runPython("assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd", new Map(), { tcpi_snd_cwnd: 12 }).failure;
 * // "assertion failed: tcpi_snd_cwnd == 10 (12), with tcpi_snd_cwnd = 12"
 * ```
 */
export function runPython(
  code: string,
  variables: Map<string, Value>,
  given: Record<string, number>,
): Outcome {
  const run = new Run(variables, given);
  try {
    run.statements(parsePython(code));
    return { failure: null, printed: run.printed };
  } catch (error) {
    if (!(error instanceof PythonError)) throw error;
    return { failure: error.message, printed: run.printed };
  }
}

const FUNCTIONS: Record<string, (args: readonly Value[]) => Value> = {
  abs: ([x]) => Math.abs(number(x)),
  min: (args) => Math.min(...flattened(args).map(number)),
  max: (args) => Math.max(...flattened(args).map(number)),
  sum: (args) => flattened(args).reduce((sum: number, x) => sum + number(x), 0),
  len: ([x]) => (typeof x === "string" || Array.isArray(x) ? x.length : typeError("len", x)),
  int: ([x]) => Math.trunc(typeof x === "string" ? Number(x) : number(x)),
  float: ([x]) => (typeof x === "string" ? Number(x) : number(x)),
  bool: ([x]) => truth(x),
  round: ([x, digits]) => {
    const scale = 10 ** (digits === undefined ? 0 : number(digits));
    return Math.round(number(x) * scale) / scale;
  },
  str: ([x]) => str(x),
  repr: ([x]) => repr(x),
  hex: ([x]) => `0x${number(x).toString(16)}`,
  bin: ([x]) => `0b${number(x).toString(2)}`,
};

function flattened(args: readonly Value[]): readonly Value[] {
  const [first] = args;
  return args.length === 1 && Array.isArray(first) ? first : args;
}

function typeError(what: string, value: Value | undefined): never {
  throw new PythonError(`${what} is not defined for ${repr(value)}`);
}

function number(value: Value | undefined): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  throw new PythonError(`${repr(value)} is no number`);
}

function truth(value: Value | undefined): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return Boolean(value);
}

class Run {
  readonly printed: string[] = [];
  private readonly variables: Map<string, Value>;
  private readonly given: Record<string, number>;

  constructor(variables: Map<string, Value>, given: Record<string, number>) {
    this.variables = variables;
    this.given = given;
  }

  statements(statements: readonly Statement[]): void {
    for (const statement of statements) this.statement(statement);
  }

  private statement(statement: Statement): void {
    switch (statement.kind) {
      case "assert":
        if (!truth(this.value(statement.test))) this.failed(statement.test, statement.message);
        return;
      case "print":
        this.printed.push(statement.args.map((arg) => str(this.value(arg))).join(" "));
        return;
      case "assign": {
        const { name, operator, value } = statement;
        const right = this.value(value);
        this.variables.set(name, operator === "" ? right : operate(operator, this.lookUp(name), right));
        return;
      }
      case "if":
        this.statements(truth(this.value(statement.test)) ? statement.body : statement.otherwise);
        return;
      case "expression":
        this.value(statement.value);
        return;
      case "pass":
        return;
    }
  }

  private failed(test: Expression, message: Expression | null): never {
    const said = message === null ? "" : ` (${str(this.value(message))})`;
    const names = [...new Set(namesIn(test))].filter((name) => /[a-z]/.test(name));
    const values = names.map((name) => `${name} = ${str(this.lookUp(name))}`);
    const known = values.length === 0 ? "" : `, with ${values.join(", ")}`;
    throw new PythonError(`assertion failed: ${show(test)}${said}${known}`);
  }

  private lookUp(name: string): Value {
    const value =
      this.variables.get(name) ?? (Object.hasOwn(this.given, name) ? this.given[name] : undefined);
    if (value === undefined && !this.variables.has(name))
      throw new PythonError(`the name "${name}" is not defined`);
    return value ?? null;
  }

  private value(expression: Expression): Value {
    switch (expression.kind) {
      case "constant":
        return expression.value;
      case "name":
        return this.lookUp(expression.name);
      case "list":
        return expression.items.map((item) => this.value(item));
      case "unary":
        return unary(expression.operator, this.value(expression.operand));
      case "binary":
        return operate(expression.operator, this.value(expression.left), this.value(expression.right));
      case "logic": {
        const left = this.value(expression.left);
        return truth(left) === (expression.operator === "and") ? this.value(expression.right) : left;
      }
      case "compare":
        return this.compare(expression.operators, expression.operands);
      case "choice":
        return this.value(truth(this.value(expression.test)) ? expression.yes : expression.otherwise);
      case "call":
        return this.call(expression.callee, expression.args);
      case "index":
        return index(this.value(expression.of), this.value(expression.index));
      case "attribute":
        throw new PythonError(`.${expression.name} is not supported`);
      case "format":
        return expression.parts
          .map((part) => (typeof part === "string" ? part : formatValue(this.value(part.value), part.format)))
          .join("");
    }
  }

  private compare(operators: readonly string[], operands: readonly Expression[]): boolean {
    let left = this.value(operands[0] as Expression);
    for (let i = 0; i < operators.length; i++) {
      const right = this.value(operands[i + 1] as Expression);
      if (!holds(operators[i] ?? "", left, right)) return false;
      left = right;
    }
    return true;
  }

  private call(callee: Expression, args: readonly Expression[]): Value {
    const values = args.map((arg) => this.value(arg));
    if (callee.kind === "attribute" && callee.name === "format") {
      let next = 0;
      return str(this.value(callee.of)).replace(
        /\{(\d*)(?::([^}]*))?\}/g,
        (_, place: string, format: string) =>
          formatValue(values[place === "" ? next++ : Number(place)] ?? null, format ?? ""),
      );
    }
    if (callee.kind !== "name") throw new PythonError("only functions with a name can be called");
    const found = Object.hasOwn(FUNCTIONS, callee.name) ? FUNCTIONS[callee.name] : undefined;
    if (found === undefined) throw new PythonError(`the function "${callee.name}" is not supported`);
    return found(values);
  }
}

function unary(operator: string, operand: Value): Value {
  if (operator === "not") return !truth(operand);
  if (operator === "-") return -number(operand);
  return operator === "~" ? Number(~integer(operand)) : number(operand);
}

function integer(value: Value): bigint {
  const x = number(value);
  if (!Number.isInteger(x)) throw new PythonError(`${x} is no whole number`);
  return BigInt(x);
}

const BITWISE: Record<string, (a: bigint, b: bigint) => bigint> = {
  "&": (a, b) => a & b,
  "|": (a, b) => a | b,
  "^": (a, b) => a ^ b,
  "<<": (a, b) => a << b,
  ">>": (a, b) => a >> b,
};

function operate(operator: string, left: Value, right: Value): Value {
  if (operator === "%" && typeof left === "string") return formatPercent(left, right);
  if (operator === "+" && typeof left === "string" && typeof right === "string") return left + right;
  if (operator === "+" && Array.isArray(left) && Array.isArray(right)) return [...left, ...right];
  const bitwise = BITWISE[operator];
  if (bitwise !== undefined) {
    if ((operator === "<<" || operator === ">>") && !(number(right) >= 0 && number(right) < 1024)) {
      throw new PythonError(`a shift by ${number(right)} is not supported`);
    }
    return Number(bitwise(integer(left), integer(right)));
  }
  const a = number(left);
  const b = number(right);
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "**":
      return a ** b;
    default:
      return divide(operator, a, b);
  }
}

/** Python rounds towards minus infinity, and so a remainder has the sign of the divisor. */
function divide(operator: string, a: number, b: number): number {
  if (b === 0) throw new PythonError("a division by zero");
  if (operator === "/") return a / b;
  const quotient = Math.floor(a / b);
  return operator === "//" ? quotient : a - quotient * b;
}

function holds(operator: string, left: Value, right: Value): boolean {
  if (operator === "in" || operator === "not in") return contains(right, left) === (operator === "in");
  if (operator === "==" || operator === "is") return equal(left, right);
  if (operator === "!=" || operator === "is not") return !equal(left, right);
  if (typeof left === "string" && typeof right === "string")
    return ordered(operator, left < right, left === right);
  return ordered(operator, number(left) < number(right), number(left) === number(right));
}

function ordered(operator: string, isLess: boolean, isSame: boolean): boolean {
  if (operator === "<") return isLess;
  if (operator === "<=") return isLess || isSame;
  return operator === ">" ? !isLess && !isSame : !isLess;
}

function equal(left: Value, right: Value): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, i) => equal(item, right[i] ?? null));
  }
  const isNumber = (value: Value) => typeof value === "number" || typeof value === "boolean";
  return isNumber(left) && isNumber(right) ? number(left) === number(right) : left === right;
}

function contains(whole: Value, part: Value): boolean {
  if (Array.isArray(whole)) return whole.some((item) => equal(item, part));
  if (typeof whole === "string" && typeof part === "string") return whole.includes(part);
  return typeError("in", whole);
}

function index(of: Value, at: Value): Value {
  if (typeof of !== "string" && !Array.isArray(of)) return typeError("[]", of);
  const found = of.at(number(at)) as Value | undefined;
  if (found === undefined) throw new PythonError(`there is nothing at ${number(at)} of ${repr(of)}`);
  return found;
}

function namesIn(expression: Expression): string[] {
  switch (expression.kind) {
    case "name":
      return [expression.name];
    case "list":
      return expression.items.flatMap(namesIn);
    case "unary":
      return namesIn(expression.operand);
    case "binary":
    case "logic":
      return [...namesIn(expression.left), ...namesIn(expression.right)];
    case "compare":
      return expression.operands.flatMap(namesIn);
    case "choice":
      return [...namesIn(expression.test), ...namesIn(expression.yes), ...namesIn(expression.otherwise)];
    case "call":
      return expression.args.flatMap(namesIn);
    case "index":
      return [...namesIn(expression.of), ...namesIn(expression.index)];
    default:
      return [];
  }
}

/** An expression as code. */
function show(expression: Expression): string {
  switch (expression.kind) {
    case "constant":
      return repr(expression.value);
    case "name":
      return expression.name;
    case "unary":
      return expression.operator === "not"
        ? `not ${inner(expression.operand)}`
        : `${expression.operator}${inner(expression.operand)}`;
    case "binary":
    case "logic":
      return `${inner(expression.left)} ${expression.operator} ${inner(expression.right)}`;
    case "compare":
      return expression.operands
        .map((operand, i) => (i === 0 ? inner(operand) : `${expression.operators[i - 1]} ${inner(operand)}`))
        .join(" ");
    case "choice":
      return `${inner(expression.yes)} if ${inner(expression.test)} else ${inner(expression.otherwise)}`;
    case "call":
      return `${show(expression.callee)}(${expression.args.map(show).join(", ")})`;
    case "list":
      return `(${expression.items.map(show).join(", ")})`;
    case "index":
      return `${show(expression.of)}[${show(expression.index)}]`;
    case "attribute":
      return `${show(expression.of)}.${expression.name}`;
    case "format":
      return "f'...'";
  }
}

function inner(expression: Expression): string {
  const isSimple = ["constant", "name", "call", "index", "list"].includes(expression.kind);
  return isSimple ? show(expression) : `(${show(expression)})`;
}
