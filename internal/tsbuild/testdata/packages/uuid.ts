import { v4, v5, v7, validate } from "uuid"
import { workflow } from "flawless"
workflow("uuid", () => [v4(), v7()].every(validate) && v5("a", v5.URL))
