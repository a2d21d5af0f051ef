// What stands between the JavaScript engine and a workflow: it is evaluated before the workflow's bundle.
import "./site"
import "./web"
import "./loop"
import { global } from "./host"
import * as sdk from "./sdk"

global[Symbol.for("flawless")] = sdk
