import { nanoid } from "nanoid"
import { workflow } from "flawless"
workflow("nanoid", () => nanoid().length)
