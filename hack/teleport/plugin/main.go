// The official Slack plugin of the same release, for the side-by-side benchmark only.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gravitational/teleport/integrations/access/slack"
	"github.com/gravitational/teleport/integrations/lib"
	"github.com/gravitational/teleport/integrations/lib/logger"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: official-plugin CONFIG.toml")
		os.Exit(2)
	}
	logger.Init()
	config, err := slack.LoadSlackConfig(os.Args[1])
	if err == nil {
		err = logger.Setup(config.Log)
	}
	if err == nil {
		app := slack.NewSlackApp(config)
		go lib.ServeSignals(app, 15*time.Second)
		err = app.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "official-plugin:", err)
		os.Exit(1)
	}
}
