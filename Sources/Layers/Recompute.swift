/// Which activations are computed again in the backward pass instead of being kept. The bits of the result are the same.
public enum Recompute: String, CaseIterable, Sendable {
    /// None: fastest.
    case none
    /// What attention reads and gives, from the layer's input: a quarter less memory.
    case attention
    /// All inside a layer: memory of one layer instead of all, for about a third more time.
    case layer
}
