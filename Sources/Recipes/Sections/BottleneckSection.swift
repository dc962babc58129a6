import Adapters
import Files
import Tensors

/// `adapter: { type: bottleneck }`: this program's own method, and how the adapter starts.
public struct BottleneckSettings: Equatable, Sendable {
    /// The method's settings.
    public var configuration = BottleneckConfiguration()
    /// A saved adapter's folder to start from instead.
    public var initFrom: String?

    /// Behind attention and MLP, a sixteenth of the model's width.
    public init() {}
}

extension BottleneckConfiguration.Placement: RecipeChoice {}
extension Activation: RecipeChoice {}

extension BottleneckSettings: RecipeSection {
    static let name = LoRASettings.name
    static let summary = LoRASettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "placement", \.configuration.placement,
                "Bottleneck: behind attention and the MLP of each layer, or behind the MLP alone."),
            RecipeKey(
                "reduction_factor", \.configuration.reductionFactor,
                range: .within(BottleneckConfiguration.factors),
                "Bottleneck: the model's width divided by the bottleneck's."),
            RecipeKey("nonlinearity", \.configuration.nonlinearity, "Bottleneck: what stands between its two layers."),
            RecipeKey(
                "residual", \.configuration.isResidual,
                "Bottleneck: whether what it reads goes on beside it, so that the adapter changes nothing at first."),
            RecipeKey(
                "layers_to_transform", optional: \.configuration.layers,
                "The decoder layers that get one, counted from 0; all if left out."),
            RecipeKey(
                "init_bottleneck_weights", \.configuration.startsAtZero,
                "Bottleneck: start its second layer at zero; false starts it at random."),
            RecipeKey("init_from", optional: \.initFrom, "A saved adapter's folder to start from."),
        ]
    }
}
