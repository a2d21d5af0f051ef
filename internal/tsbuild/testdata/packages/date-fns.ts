import { addDays, formatISO } from "date-fns"
import { de } from "date-fns/locale"
import { format } from "date-fns/format"
import { workflow } from "flawless"
workflow("date-fns", () => [formatISO(addDays(new Date(Date.UTC(2026, 0, 30)), 3), { representation: "date" }), format(new Date(Date.UTC(2026, 2, 1)), "d. MMMM", { locale: de })])
