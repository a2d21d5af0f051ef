// What differs between two JSON values, and where.

/** Up to how many differences are listed; the last one then stands for the others. */
const maxChanges = 200

const isPlain = v => v !== null && typeof v === 'object'

/** Returns the differences as { path, was, now, kind }; kind is added, changed or removed. */
export function changes(was, now) {
  const out = []
  walk('', was, now, out)
  return out
}

function walk(path, a, b, out) {
  if (a === b || out.length >= maxChanges) return
  if (isPlain(a) && isPlain(b) && Array.isArray(a) === Array.isArray(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const name = Array.isArray(a) ? `[${key}]` : path ? `.${key}` : key
      // Object.hasOwn, because a member may be called __proto__ or constructor.
      walk(path + name, Object.hasOwn(a, key) ? a[key] : undefined, Object.hasOwn(b, key) ? b[key] : undefined, out)
    }
    return
  }
  out.push({ path, was: a, now: b, kind: a === undefined ? 'added' : b === undefined ? 'removed' : 'changed' })
}

/** Returns the value at a path such as order.items[0].price, or undefined. */
export function valueAt(value, path) {
  for (const key of path.match(/[^.[\]]+/g) || []) {
    if (!isPlain(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}
