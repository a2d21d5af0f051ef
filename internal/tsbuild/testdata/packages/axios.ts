import axios from "axios"
import { workflow } from "flawless"
workflow("axios", async () => {
  const r = await axios.post("https://api.example/axios", { a: 1 }, { adapter: "fetch" })
  return r.data.path
})
