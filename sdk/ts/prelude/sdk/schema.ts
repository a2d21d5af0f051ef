// Schemas: zod, and whatever else follows Standard Schema (https://standardschema.dev), or JSON Schema.
import { global } from "../host"

/** JSON Schema of what a user gives as a schema; undefined if there is none. */
export function schemaOf(s: any): unknown {
  if (s === undefined || s === null) return undefined
  if (typeof s.toJSONSchema === "function") return s.toJSONSchema({ io: "input", unrepresentable: "any" })
  const vendor = s["~standard"]
  if (vendor?.jsonSchema?.input) return vendor.jsonSchema.input({ target: "draft-2020-12" })
  const zod = global[Symbol.for("flawless.toJSONSchema")]
  if (vendor?.vendor === "zod" && zod) return zod(s, { io: "input", unrepresentable: "any" })
  if (vendor) return undefined
  if (typeof s === "object" || typeof s === "boolean") return s
  throw new TypeError("a schema must be JSON Schema, or an object that follows Standard Schema, such as that of zod")
}

/** The value as a Standard Schema makes it of the input; the value itself if the schema is JSON Schema, which the engine checks. */
export async function validated(s: any, value: unknown, what: string): Promise<unknown> {
  const standard = s?.["~standard"]
  if (!standard?.validate) return value
  const result = await standard.validate(value)
  if (!result.issues) return result.value
  const lines = result.issues.map((i: any) => {
    const path = (i.path ?? []).map((p: any) => String(p?.key ?? p)).join(".")
    return path ? `${path}: ${i.message}` : i.message
  })
  throw new TypeError(`${what} does not fit its schema: ${lines.join("; ")}`)
}
