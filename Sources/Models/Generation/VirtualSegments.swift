import Layers
import Tensors

extension CausalLM {
    /// The virtual tokens of active adapters, read once: what a cache begins with, shared by all sequences.
    ///
    /// - Parameters:
    ///   - adapters: the active adapters.
    ///   - dtype: how keys and values are stored.
    /// - Returns: full segments in the order in which they are read; none where no active adapter has virtual tokens.
    func virtualSegments(_ adapters: [String], dtype: DType) -> [KeyValueSegment] {
        let start = ForwardContext(SequenceLayout([]), adapters: adapters).computing(in: precision)
        let prefix = VirtualPrefix(of: model, start)
        var segments = prefix.keyCounts.enumerated().map { number, count in
            let segment = KeyValueSegment(configuration, capacity: count, dtype: dtype)
            for layer in 0..<configuration.layers {
                let pair = prefix.keys(layer: layer)[number]
                segment.write(0..<count, keys: pair.keys, values: pair.values, layer: layer)
            }
            segment.advance(count)
            return segment
        }
        if let embeddings = prefix.embeddings {
            segments.append(KeyValueSegment(configuration, capacity: embeddings.rows, dtype: dtype))
            let cache = KVCache([segments])
            let context = ForwardContext(
                cache.layout(appending: [embeddings.rows]), adapters: adapters, keyValues: cache
            ).computing(in: precision)
            _ = model.states(embeddings, context) { _ in [] }
            cache.advance()
        }
        return segments
    }

    /// How many virtual tokens active adapters put before every sequence.
    func virtualTokenCount(_ adapters: [String]) -> Int { adapters.reduce(0) { $0 + (model.slot[$1]?.count ?? 0) } }
}
