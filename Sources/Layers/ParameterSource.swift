import Tensors

/// Where a model's weights come from: a checkpoint, or random numbers in a test.
public protocol ParameterSource: AnyObject {
    /// The tensor of a path, such as `model.norm.weight`, of the shape that the model's configuration asks for.
    ///
    /// - Throws: an error that names the path and both shapes, where it is missing or of another shape.
    func tensor(_ path: String, shape: [Int]) throws -> Tensor
}

/// A source seen from one module: names are relative to the module's path.
public struct ParameterScope {
    private let source: any ParameterSource
    private let path: String

    /// The whole source.
    public init(_ source: any ParameterSource) {
        self.source = source
        path = ""
    }

    private init(_ source: any ParameterSource, path: String) {
        self.source = source
        self.path = path
    }

    /// The scope of a part.
    public subscript(_ name: String) -> ParameterScope {
        ParameterScope(source, path: path.isEmpty ? name : "\(path).\(name)")
    }

    /// A frozen parameter with the source's tensor.
    public func parameter(_ name: String, shape: [Int]) throws -> Parameter {
        Parameter(try source.tensor(path.isEmpty ? name : "\(path).\(name)", shape: shape))
    }
}
