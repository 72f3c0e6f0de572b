package main

// clusterCommand has the commands about the cluster as a whole.
type clusterCommand struct {
	Status      clusterStatusCommand      `cmd:"" help:"Show who is in the cluster and whether they agree."`
	Init        clusterInitCommand        `cmd:"" help:"Make a new cluster's certificates and keys."`
	Export      clusterExportCommand      `cmd:"" help:"Make one peer's folder of certificates and keys."`
	Certificate clusterCertificateCommand `cmd:"" help:"Sign a peer a new certificate."`
	RotateKey   clusterRotateKeyCommand   `cmd:"" help:"Change the key that gossip is encrypted with, step by step."`
}
