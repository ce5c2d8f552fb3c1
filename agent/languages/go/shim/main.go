// The program of a skill: the server shim, and in its workers the skill.
package main

import (
	skill "skill/ENTRY"

	"skill/skillops_shim/gate"
)

func main() {
	var execute gate.Execute = skill.Execute
	gate.Run(execute)
}
