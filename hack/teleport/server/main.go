// The real Teleport for tests: the Auth and Proxy services of the open-source release, without the web
// interface (its assets are not part of the Go module) and without asking the machine's cloud for metadata.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/lib/service"
	"github.com/gravitational/teleport/tool/teleport/common"
)

// noCloud answers "this is no cloud machine" without touching the network.
type noCloud struct{}

var errNoCloud = errors.New("not a cloud instance")

func (noCloud) IsAvailable(context.Context) bool                   { return false }
func (noCloud) GetTags(context.Context) (map[string]string, error) { return nil, errNoCloud }
func (noCloud) GetHostname(context.Context) (string, error)        { return "", errNoCloud }
func (noCloud) GetType() types.InstanceMetadataType                { return types.InstanceMetadataTypeDisabled }
func (noCloud) GetID(context.Context) (string, error)              { return "", errNoCloud }

func main() {
	_, _, config := common.Run(common.Options{Args: os.Args[1:], InitOnly: true})
	config.Proxy.DisableWebInterface = true
	config.InstanceMetadataClient = noCloud{}
	if err := service.Run(context.Background(), *config, nil); err != nil {
		fmt.Fprintln(os.Stderr, "teleport:", err)
		os.Exit(1)
	}
}
